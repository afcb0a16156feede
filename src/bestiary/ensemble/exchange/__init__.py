"""Predictions -> the files and folders that ecologists exchange: JSON, CSV, packages, tags."""
