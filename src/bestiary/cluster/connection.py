"""Connection to a Ray cluster: the value of --cluster -> a cluster that is ready for work.

Ray: Moritz et al. 2018, arXiv:1712.05889. Knows nothing of the work.
"""

import ctypes
import os
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from typing import Any, Self

from bestiary.errors import ArgumentError, one_line
from bestiary.signals import SIGNALS

REMOTE_PREFIX = "ray://"


def check_address(address: str) -> None:
    """Check the address of a cluster, and that Ray is installed.

    Args:
        address: ``ray``, or ``ray://HOST:PORT``.

    Raises:
        ArgumentError: it has neither form, or Ray is not installed.
    """
    if address != "ray" and not is_remote(address):
        raise ArgumentError(
            f"--cluster {address}: is no cluster; give ray, or ray://HOST:PORT for a cluster "
            f"elsewhere"
        )
    load_ray()


def is_remote(address: str) -> bool:
    """Check whether an address names a cluster elsewhere.

    Args:
        address: as `check_address` allows.
    """
    return address.startswith(REMOTE_PREFIX)


class Connection:
    """A context with a connection to a cluster; an existing connection is used and left open.

    It connects in a thread, so that the command can read images meanwhile.

    Args:
        address: ``ray``, the cluster of this machine, which is started if there is none; or
            ``ray://HOST:PORT``.

    Raises:
        ArgumentError: the address has neither form, or Ray is not installed.
    """

    def __init__(self, address: str) -> None:
        check_address(address)
        self._address = address
        self._connecting: Future[None] | None = None
        self._is_own = False
        self._thread = ThreadPoolExecutor(1, "bestiary-cluster")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._connecting is not None:
            wait([self._connecting])
        if self._is_own:
            load_ray().shutdown()
        # The cluster's processes end with the thread that started them, so it ends last.
        self._thread.shutdown()

    def begin(self) -> "Future[None]":
        """Start to connect in the background.

        Returns:
            A future that is done when the connection stands, or that holds the error.
        """
        if self._connecting is None:
            self._connecting = self._thread.submit(self._connect)
        return self._connecting

    def wait(self) -> None:
        """Wait until the connection stands.

        Raises:
            ArgumentError: no cluster answers.
        """
        self.begin().result()

    def _connect(self) -> None:
        ray = load_ray()
        if ray.is_initialized():
            return
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
        address = self._address if is_remote(self._address) else None
        try:
            with _restore_signal_handlers():
                ray.init(
                    address=address,
                    include_dashboard=None if address else False,
                    log_to_driver=False,
                    logging_level="ERROR",
                )
        except Exception as error:  # Ray has no class of its own for a node that starts too late
            raise ArgumentError(self._refusal(one_line(error, 160))) from None
        self._is_own = True

    def _refusal(self, reason: str) -> str:
        """Say why there is no connection, and what may help."""
        remedy = "see ray status"
        if not is_remote(self._address):
            remedy += ", or run it again once the machine is less busy"
        # Without a token, a client gets no other answer than a timeout.
        elif "RAY_AUTH_MODE" not in os.environ:
            remedy += " there; where it asks for a token, set RAY_AUTH_MODE=token"
        return f"--cluster {self._address}: no cluster answers there ({reason}); {remedy}"


@contextmanager
def _restore_signal_handlers() -> Iterator[None]:
    """Restore the handlers of SIGINT and SIGTERM after the block, from any thread.

    Ray sets a handler for SIGTERM that ends the process with a dump of its stack. Python's `signal`
    module works in the main thread only, which is busy. The C functions below it have no such
    limit.
    """
    get_handler = ctypes.pythonapi.PyOS_getsig
    get_handler.restype = ctypes.c_void_p
    get_handler.argtypes = [ctypes.c_int]
    set_handler = ctypes.pythonapi.PyOS_setsig
    set_handler.restype = ctypes.c_void_p
    set_handler.argtypes = [ctypes.c_int, ctypes.c_void_p]

    handlers = {number: get_handler(number) for number in SIGNALS}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            set_handler(number, handler)


def load_ray() -> Any:
    """Import Ray.

    Returns:
        The module.

    Raises:
        ArgumentError: Ray is not installed.
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


def alive_nodes() -> list[dict[str, float]]:
    """List what each machine of the cluster that is alive has, such as ``CPU`` and ``GPU``."""
    return [node["Resources"] for node in load_ray().nodes() if node["Alive"]]
