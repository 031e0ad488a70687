"""Scores of a checkpoint or a session on a cohort."""
