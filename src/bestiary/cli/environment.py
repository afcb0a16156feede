"""Environment variables: slips for bestiary's own are refused, and what libraries read is set.

A slip would be without effect, in silence: a token that asks for nothing, a cache elsewhere. What
libraries read is set before a command imports them, where the user has set nothing. Processes that
a command starts inherit it.
"""

import difflib
from collections.abc import Iterable, MutableMapping

from bestiary.errors import ArgumentError

PREFIX = "BESTIARY_"
VARIABLES = ("CACHE", "DEVICE", "SHARD_CACHE_GB", "STATE", "TOKEN")  # after the prefix
MIN_LIKENESS = 0.7  # below, a variable is somebody's own, such as BESTIARY_RUN
TORCH_LOGS = "TORCH_LOGS"
WAIT_POLICY = "OMP_WAIT_POLICY"
SPIN_COUNT = "GOMP_SPINCOUNT"
SPINS = "30000"


def check_environment(names: Iterable[str]) -> None:
    """Refuse a variable that is named almost like one of bestiary's.

    Args:
        names: of all variables.

    Raises:
        ArgumentError: a name is such a slip.

    Example:
        >>> check_environment(["BESTIARY_TOKEN", "BESTIARY_RUN", "HOME"])
        >>> check_environment(["BESTIARY_TOKENS"])
        Traceback (most recent call last):
        bestiary.errors.ArgumentError: BESTIARY_TOKENS: is no variable of bestiary; did you mean ...
    """
    for name in names:
        if not name.upper().startswith(PREFIX) or name.removeprefix(PREFIX) in VARIABLES:
            continue
        own = name[len(PREFIX) :].upper()
        near = difflib.get_close_matches(own, VARIABLES, 1, MIN_LIKENESS)
        if near:
            raise ArgumentError(
                f"{name}: is no variable of bestiary; did you mean {PREFIX}{near[0]}? Rename it, "
                f"or unset it"
            )


def set_defaults(environment: MutableMapping[str, str]) -> None:
    """Set what suits a command where the user has set nothing.

    PyTorch's own warnings speak of its insides, and would mix with what a command prints.

    A thread of PyTorch that waits for work spins before it sleeps: with GNU OpenMP 300,000 times,
    which takes milliseconds. On a busy machine it then holds the core which the thread that it
    waits for needs. 30,000 turns outlast the gaps between the operations of a training step. So it
    is as fast alone, and faster beside a busy program (benchmarks/speed/spinning.py).

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
