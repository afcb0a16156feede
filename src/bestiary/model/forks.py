"""Refuse to compute in a forked child that would wait for ever.

PyTorch and OpenVINO compute with threads. A fork copies the memory of a process, but only one of
its threads: a child that hands work to the others never gets an answer. Knows nothing of networks.
"""

import os
import signal
import time
import warnings

import torch

from bestiary.errors import ForkError

REMEDY = (
    "start processes by spawn, as multiprocessing.get_context('spawn') does, or fork before "
    "anything is computed and load the ensemble in the child"
)
MAX_PROBE_SECONDS = 5.0  # the work of a probe takes milliseconds
PROBE_VALUES = 1_000_000  # enough that PyTorch shares the work between its threads

_pids = {"imported": os.getpid()}  # what happened first in which process


def note_computing() -> None:
    """Note that this process starts the threads of an engine."""
    _pids.setdefault("computing", os.getpid())


def check_can_compute() -> None:
    """Check that this process is no forked child whose parent has computed.

    Raises:
        ForkError: it is, so that its first computation would never end.

    Example:
        >>> check_can_compute()
    """
    pid = os.getpid()
    if _pids.get("computing", pid) != pid:
        raise ForkError(
            "this process was forked after its parent had loaded a network, whose threads a fork "
            f"does not copy; {REMEDY}"
        )
    is_forked = pid not in (_pids["imported"], _pids.get("probed"))
    if is_forked and _hangs():
        raise ForkError(
            "this process was forked after its parent had computed with PyTorch, whose threads a "
            f"fork does not copy; {REMEDY}"
        )
    _pids["probed"] = pid


def check_same_process(pid: int) -> None:
    """Check that what a process has loaded is used in that process.

    Args:
        pid: of the process that has loaded it.

    Raises:
        ForkError: this is another process, which has inherited it by fork.
    """
    if pid != os.getpid():
        raise ForkError(
            "this ensemble comes from before a fork, which does not copy the threads that compute "
            f"it; {REMEDY}"
        )


def fork() -> int:
    """Fork this process, for a child that computes nothing with threads.

    Returns:
        The process id of the child; 0 in the child.

    Raises:
        OSError: the system forks no process.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python warns of forks beside threads
        return os.fork()


def _hangs() -> bool:
    """Let a child of this process compute, since it hangs exactly where this process would."""
    child = fork()
    if child == 0:
        try:
            torch.ones(PROBE_VALUES).exp_()
        finally:
            os._exit(0)

    deadline = time.monotonic() + MAX_PROBE_SECONDS
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.01)
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True
