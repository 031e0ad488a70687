"""Scores of label volumes against references."""
