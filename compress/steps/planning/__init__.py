"""`plan` and `sensitivity`."""
