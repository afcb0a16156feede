"""The name of a Ray cluster -> a connection to it.

Ray: Moritz et al. 2018, arXiv:1712.05889.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from bestiary.errors import ArgumentError


def check_address(on: str) -> None:
    """Refuse a cluster that is none, or that this installation cannot reach.

    Raises:
        ArgumentError: with what to give, or to install.
    """
    if on != "ray" and not on.startswith("ray://"):
        raise ArgumentError(f"--on {on}: is no cluster; give ray, or ray://HOST:PORT for a cluster elsewhere")
    load_ray()


@contextmanager
def connected(on: str) -> Iterator[None]:
    """A connection to the cluster, for the length of the block unless there was one."""
    ray = load_ray()
    if ray.is_initialized():
        yield
        return
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    address = on if on.startswith("ray://") else None
    try:
        ray.init(
            address=address, include_dashboard=None if address else False, log_to_driver=False, logging_level="ERROR"
        )
    except (ConnectionError, ValueError, RuntimeError, ImportError) as error:
        reason = " ".join(str(error).split())[:160]
        remedy = "see ray status"
        if address and "RAY_AUTH_MODE" not in os.environ:  # a client of Ray that has no token is only told of a timeout
            remedy += " there; where it asks for a token, set RAY_AUTH_MODE=token"
        raise ArgumentError(f"--on {on}: no cluster answers there ({reason}); {remedy}") from None
    try:
        yield
    finally:
        ray.shutdown()


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
        raise ArgumentError("--on ray: Ray is not installed; pip install 'bestiary[cluster]'") from None
    return ray
