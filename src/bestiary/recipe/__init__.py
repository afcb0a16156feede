"""Recipes: every option of a training run."""
