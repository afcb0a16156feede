"""Training: the folds of a run -> trained members and the logits of each held-out part, on disk."""
