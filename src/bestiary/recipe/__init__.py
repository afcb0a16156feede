"""Recipes: every option of a training run, the shipped recipes, and how one is loaded."""
