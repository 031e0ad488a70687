"""Channel groups, ranking, plan and rebuild."""
