"""Environment variables of libraries that a command sets before it imports them.

A variable that the user has set stays. Processes that a command starts inherit all of them.
"""

from collections.abc import MutableMapping

TORCH_LOGS = "TORCH_LOGS"
WAIT_POLICY = "OMP_WAIT_POLICY"
SPIN_COUNT = "GOMP_SPINCOUNT"
SPINS = "10000"


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Set what suits a command where the user has set nothing.

    PyTorch's own warnings speak of its insides, and would mix with what a command prints.

    A thread of PyTorch that waits for work spins before it sleeps: with GNU OpenMP 300,000 times,
    which takes milliseconds. On a busy machine it then holds the core which the thread that it
    waits for needs. 10,000 turns outlast the gaps between the operations of a training step: as
    fast alone, and three times as fast beside a busy program (benchmarks/speed/spinning.py).

    Args:
        environment: variables of this process, before PyTorch is imported.

    Example:
        >>> variables = {"OMP_WAIT_POLICY": "ACTIVE"}
        >>> set_defaults(variables)
        >>> variables
        {'OMP_WAIT_POLICY': 'ACTIVE', 'TORCH_LOGS': '-all'}
    """
    environment.setdefault(TORCH_LOGS, "-all")
    if WAIT_POLICY not in environment:  # a number of turns would overrule it
        environment.setdefault(SPIN_COUNT, SPINS)
