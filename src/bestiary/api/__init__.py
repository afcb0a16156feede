"""The verbs, one file and one function each, for Python and the command line alike.

Composition only. A function's signature and docstring are the command's options and help. What it
returns prints itself. Anything heavy is imported when the verb runs, so that help does not wait for
PyTorch.
"""
