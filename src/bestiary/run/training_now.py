"""The runs that this user trains on this machine now, so that each is told of the others.

Each has a file in the user's folder of state, locked while it trains; a crash releases the lock.
Nothing depends on it: where the folder cannot be written, nothing is said.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from bestiary.run.own_runs import state_root

FOLDER = "training"  # in the folder of state
MAX_PLACE_BYTES = 4096


@contextmanager
def training(place: str) -> Iterator[list[str]]:
    """Say that a run is trained inside the block.

    Args:
        place: of the run.

    Yields:
        The places of the other runs that are trained on this machine.
    """
    folder = state_root() / FOLDER
    others = _others(folder)
    file = folder / f"{_machine()}{os.getpid()}"
    lock = FileLock(f"{file}.lock")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire(timeout=0)
        file.write_text(place, encoding="utf-8", errors="replace")
    except (OSError, NotImplementedError, Timeout):
        yield others
        return
    try:
        yield others
    finally:
        _remove(file)
        lock.release()
        _remove(Path(lock.lock_file))


def _others(folder: Path) -> list[str]:
    """Read the places of runs in training; files that a crash has left are removed."""
    places = []
    for file in sorted(folder.glob(f"{_machine()}*[0-9]")):
        lock = FileLock(f"{file}.lock")
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with suppress(OSError):
                places.append(file.read_bytes()[:MAX_PLACE_BYTES].decode(errors="replace"))
        except (OSError, NotImplementedError):
            continue
        else:
            _remove(file)
            lock.release()
            _remove(Path(lock.lock_file))
    return places


def _machine() -> str:
    """Start of the names of this machine's files: the folder may be shared."""
    return f"{socket.gethostname()}-"


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink(missing_ok=True)
