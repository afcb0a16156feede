"""The folds of a run -> trained members and the logits of each fold's held-out part, on disk."""
