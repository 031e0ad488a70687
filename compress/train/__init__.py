"""Losses, schedule and the training loop."""
