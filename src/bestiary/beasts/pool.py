"""Number of images to draw -> a `map` that draws chunks of them, over processes if they are many.

Knows nothing of what is drawn.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from types import ModuleType
from typing import Protocol, TypeVar

import cv2

from bestiary.cores import cores

CHUNK = 25
"""Images that a process draws at a time."""
_SINGLE_PROCESS_IMAGES = 200
"""Up to this many images are drawn without more processes."""

_Item = TypeVar("_Item")
_Drawn = TypeVar("_Drawn")


class DrawingMap(Protocol):
    """A `map` of one argument."""

    def __call__(
        self, function: Callable[[_Item], _Drawn], items: Iterable[_Item], /
    ) -> Iterable[_Drawn]:
        """Apply a function to every item, in order."""
        ...


@contextmanager
def drawing_map(images: int) -> Iterator[DrawingMap]:
    """Yield a `map`: in this process for a few images, else over one process a core.

    Processes are spawned, not forked: the fork of a process whose threads hold locks (torch,
    OpenCV) can hang.

    Args:
        images: number of images to draw.

    Yields:
        The map.
    """
    workers = cores()
    if images <= _SINGLE_PROCESS_IMAGES or workers == 1:
        threads = cv2.getNumThreads()
        _limit_opencv()
        try:
            yield map
        finally:
            cv2.setNumThreads(threads)
        return
    context = multiprocessing.get_context("spawn")
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_limit_opencv) as pool,
        _without_script(),
    ):
        yield pool.map


@contextmanager
def _without_script() -> Iterator[None]:
    """Hide the caller's script: spawned processes would run it again and do not need it."""
    script = sys.modules["__main__"]
    sys.modules["__main__"] = ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = script


def _limit_opencv() -> None:
    """Keep OpenCV to one thread: on small canvases and with other processes, more only wait."""
    cv2.setNumThreads(1)
