"""Finished runs and labelled images -> scores, comparisons and tables. Reads runs; trains nothing."""
