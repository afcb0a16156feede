"""Files -> manifest, folds and views."""
