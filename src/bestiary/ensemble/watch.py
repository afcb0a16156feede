"""A folder that fills up -> its new images, in rounds, each once it is complete.

An image is complete when its size and time have stayed the same from one look to the next; one that
cannot be read may still be on its way for a minute. Looking takes a twentieth of the time at most,
so that a large folder on a network disk is not asked all day. Knows nothing of what is done with
the images.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bestiary.data.listing import Listing, list_files

PAUSE = 2.0  # seconds between two looks, at least
SHARE = 0.05  # of the time that looking may take
# seconds since its last change in which an image that cannot be read may still be on its way
ARRIVING = 60.0


def new_images(
    folder: Path, known: set[str], sleep: Callable[[float], None] = time.sleep
) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
    """Look for ever, and give at each look the paths of the images that are complete since the one
    before.

    Args:
        folder: searched with all folders in it; may be empty, and gone for a while.
        known: paths below it that are not given; the generator adds those that it gives. What the
            caller takes out is given again.
        sleep: waits so many seconds.

    Yields:
        sorted paths below `folder`, and path and reason of what cannot even be listed; both may be
        empty.
    """
    waiting: dict[str, tuple[int, int]] = {}
    while True:
        started = time.perf_counter()
        found = list_files(folder)
        looks = {
            path: look
            for path in found.table["path"]
            if path not in known and (look := _look(folder / path))
        }
        complete = [path for path, look in looks.items() if waiting.get(path) == look]
        waiting = {path: look for path, look in looks.items() if path not in complete}
        unusable = _fresh(found, known)
        known.update(complete)
        seconds = time.perf_counter() - started
        yield sorted(complete), unusable
        sleep(max(PAUSE, seconds / SHARE))


def may_be_arriving(file: Path) -> bool:
    """Whether an image that cannot be read was changed so lately that the rest of it may be on
    its way.
    """
    try:
        return time.time() - file.stat().st_mtime < ARRIVING
    except OSError:
        return False


def _fresh(found: Listing, known: set[str]) -> list[tuple[str, str]]:
    fresh = [(path, reason) for path, reason in found.unusable if path not in known]
    known.update(path for path, _ in fresh)
    return fresh


def _look(file: Path) -> tuple[int, int] | None:
    """Size and time of change; None where the file is gone."""
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns
