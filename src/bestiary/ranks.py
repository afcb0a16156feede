"""Which of the processes that a launcher such as torchrun has started speaks to the user.

Without a launcher, this one does. Imports no PyTorch: a mistake is told before it is loaded.
"""

import os
import sys


def is_first_rank() -> bool:
    """Whether this process shows the result: the first of all.

    Example:
        >>> is_first_rank()
        True
    """
    return os.environ.get("RANK", "0") == "0"


def tells_errors() -> bool:
    """Whether this process shows its error.

    Before the processes have joined, all meet the same error: the first of each machine tells it.
    Afterwards, an error that reaches another rank is its own, see `training.distributed`.

    Example:
        >>> tells_errors()
        True
    """
    return os.environ.get("LOCAL_RANK", "0") == "0" or _have_joined()


def _have_joined() -> bool:
    torch = sys.modules.get("torch")
    return torch is not None and bool(torch.distributed.is_initialized())
