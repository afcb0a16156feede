"""Seed -> an image dataset of invented beasts in class folders, with faults planted on request.

It draws species, images of individuals and truth.csv, the table of planted faults. Knows nothing
of training.
"""
