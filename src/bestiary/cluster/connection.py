"""The name of a Ray cluster -> a connection to it.

Ray: Moritz et al. 2018, arXiv:1712.05889.
"""

import ctypes
import os
import signal
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Self

from bestiary.errors import ArgumentError, one_line


def check_address(on: str) -> None:
    """Refuse a cluster that is none, or that this installation cannot reach.

    Raises:
        ArgumentError: with what to give, or to install.
    """
    if on != "ray" and not on.startswith("ray://"):
        raise ArgumentError(
            f"--cluster {on}: is no cluster; give ray, or ray://HOST:PORT for a cluster elsewhere"
        )
    load_ray()


class Connection:
    """A connection to a cluster for the length of a block, unless there was one; it may be made
    while others work.

    Args:
        on: ``ray``, the cluster of this machine, started for the block where there is none; or
            ``ray://HOST:PORT``.

    Raises:
        ArgumentError: `on` is no cluster, or Ray is not installed.
    """

    def __init__(self, on: str) -> None:
        check_address(on)
        self._on = on
        self._made: Future[None] | None = None
        self._own = False
        self._thread = ThreadPoolExecutor(1, "bestiary-cluster")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._made is not None:
            wait([self._made])
        if self._own:
            load_ray().shutdown()
        # last: the cluster's programs end with the thread that has started them
        self._thread.shutdown()

    def begin(self) -> "Future[None]":
        """Begin to connect, and to start the cluster where there is none, beside what else this
        process does.
        """
        if self._made is None:
            self._made = self._thread.submit(self._connect)
        return self._made

    def wait(self) -> None:
        """Come back when there is a connection.

        Raises:
            ArgumentError: no cluster answers.
        """
        self.begin().result()

    def _connect(self) -> None:
        ray = load_ray()
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        address = self._on if self._on.startswith("ray://") else None
        try:
            with _handlers_kept():
                ray.init(
                    address=address,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
        except (ConnectionError, ValueError, RuntimeError, ImportError) as error:
            reason = one_line(error, 160)
            remedy = "see ray status"
            if (
                address and "RAY_AUTH_MODE" not in os.environ
            ):  # a client that has no token is only told of a timeout
                remedy += " there; where it asks for a token, set RAY_AUTH_MODE=token"
            raise ArgumentError(
                f"--cluster {self._on}: no cluster answers there ({reason}); {remedy}"
            ) from None
        self._own = True


@contextmanager
def _handlers_kept() -> Iterator[None]:
    """A block that may set handlers of signals, after which those are in force that were before; in
    any thread.

    Ray sets its own for SIGTERM, which ends the process with a dump of its stack. Python's `signal`
    sets handlers in the main thread alone, which has other work to do; what it calls for that
    itself can be called in any.
    """
    get, put = ctypes.pythonapi.PyOS_getsig, ctypes.pythonapi.PyOS_setsig
    get.restype, get.argtypes = ctypes.c_void_p, [ctypes.c_int]
    put.restype, put.argtypes = ctypes.c_void_p, [ctypes.c_int, ctypes.c_void_p]
    kept = {number: get(number) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            put(number, handler)


def load_ray() -> Any:
    """Ray, imported.

    Raises:
        ArgumentError: it is not installed.
    """
    try:
        import ray
        import ray.exceptions
        import ray.util.scheduling_strategies
    except ImportError:
        raise ArgumentError(
            "--cluster ray: Ray is not installed; pip install 'bestiary[cluster]'"
        ) from None
    return ray
