"""`prune`, `finetune` and `inspect`."""
