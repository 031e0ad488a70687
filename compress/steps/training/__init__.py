"""`train`: one network from its starting weights."""
