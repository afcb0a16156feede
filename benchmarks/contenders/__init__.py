"""The programs that benchmarks compare, one a module, each run by `paired.compare` in a process
of its own.
"""
