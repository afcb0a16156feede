"""A run directory: the names of its files, its tables, logits, checksums and locks."""
