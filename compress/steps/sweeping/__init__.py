"""`sweep`."""
