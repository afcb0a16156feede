"""A folder that fills up (a camera trap) -> its new images, polled in rounds, each once complete.

An image is complete when its size and modification time are the same in two polls. An image that
cannot be decoded may still be arriving for a minute. Polling takes at most a twentieth of the time,
so it does not load a large folder on a network disk all day. Knows nothing of what is done with
the images.
"""

import time
from collections.abc import Callable, Iterator
from pathlib import Path

from bestiary.data.listing_folders import walk_images
from bestiary.data.listing_types import Listing

MIN_POLL_SECONDS = 2.0  # between two polls
POLL_TIME_SHARE = 0.05  # of the time that polling may take
# Seconds after its last change in which an unreadable image may still be arriving
ARRIVAL_SECONDS = 60.0


def new_images(
    folder: Path,
    known: set[str],
    sleep: Callable[[float], None] = time.sleep,
) -> Iterator[tuple[list[str], list[tuple[str, str]]]]:
    """Poll a folder without end, and yield the images that have become complete.

    Args:
        folder: searched with its subfolders; may be empty, or absent for a while.
        known: paths below the folder that are not yielded. The generator adds the paths that it
            yields; a path that the caller removes is yielded again.
        sleep: waits for a number of seconds.

    Yields:
        For each poll, sorted paths below `folder`, and path and reason of files that cannot be
        listed; both may be empty.
    """
    waiting: dict[str, tuple[int, int]] = {}
    while True:
        started = time.perf_counter()
        listing = walk_images(folder)

        # Complete images are those whose state is the same as in the last poll
        states = _file_states(folder, listing, known)
        complete = [path for path, state in states.items() if waiting.get(path) == state]
        waiting = {path: state for path, state in states.items() if waiting.get(path) != state}
        unusable = _new_unusable(listing, known)
        known.update(complete)

        seconds = time.perf_counter() - started
        yield sorted(complete), unusable
        sleep(max(MIN_POLL_SECONDS, seconds / POLL_TIME_SHARE))


def may_be_arriving(file: Path) -> bool:
    """Tell whether an unreadable image changed so recently that the rest of it may follow."""
    try:
        age = time.time() - file.stat().st_mtime
    except OSError:
        return False
    return age < ARRIVAL_SECONDS


def _file_states(folder: Path, listing: Listing, known: set[str]) -> dict[str, tuple[int, int]]:
    """Read the states of the listed files that are not known; a file that is gone has none."""
    states = {}
    for path in listing.table["path"]:
        if path in known:
            continue
        state = _file_state(folder / path)
        if state:
            states[path] = state
    return states


def _file_state(file: Path) -> tuple[int, int] | None:
    """Read size and modification time; None where the file is gone."""
    try:
        state = file.stat()
    except OSError:
        return None
    return state.st_size, state.st_mtime_ns


def _new_unusable(listing: Listing, known: set[str]) -> list[tuple[str, str]]:
    """Select the unusable files that are not known, and mark them as known."""
    unusable = [(path, reason) for path, reason in listing.unusable if path not in known]
    known.update(path for path, _ in unusable)
    return unusable
