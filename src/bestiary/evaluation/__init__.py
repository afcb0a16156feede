"""Finished runs and labeled images -> scores, comparisons and tables. Reads runs; trains
nothing.
"""
