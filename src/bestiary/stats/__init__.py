"""Arrays -> numbers: metrics, intervals, calibration, out-of-distribution scores.

NumPy and SciPy only. These modules know no network, no run directory and no table.
"""
