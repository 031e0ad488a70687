"""Networks that others trained, into a run folder and out of it."""
