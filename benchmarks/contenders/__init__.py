"""The programs that benchmarks compare, one a module, each in a process of its own."""
