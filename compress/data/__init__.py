"""From files on disk to batches of slices."""
