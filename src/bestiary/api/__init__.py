"""The verbs: one file and one function each, for Python and the command line alike.

A verb composes the other rooms and computes nothing itself. Its signature and docstring are the
command's options and help. Its result prints itself, except for a run, which the command line
describes. Heavy imports are inside the functions, so that help does not wait for PyTorch.
"""
