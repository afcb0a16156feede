"""Finished runs and labeled images -> scores, comparisons and tables.

Reads runs and their ensembles. Trains nothing.
"""
