"""A training set and a recipe -> the files of a run."""
