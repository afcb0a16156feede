"""Arrays -> numbers: metrics, intervals, calibration. NumPy and SciPy only; no network, no run,
no table.
"""
