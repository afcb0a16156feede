"""A run at an address -> a local folder to work in, whose finished files are sent to the store as
they are written.

Stores have no renaming, no locks and no appending, which a run in training lives by; so it is
worked on locally, as ever, and every file that `atomic` has made whole is put into the store whole
(an object appears at once or not at all). A later command, on any machine, fetches the run first.
What is lost with a machine is what came after the last state that was sent. Knows nothing of what
the files mean.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from bestiary.atomic import watched
from bestiary.caches import cache_root
from bestiary.errors import RunError
from bestiary.storage.files import StoredFolder, fetch_file, is_address, put_file

UNSENT = ".unsent"  # there while the folder may hold what the store does not
Wanted = Callable[[str], bool]  # of a path below the run
Stamp = tuple[int, int]  # time of change in nanoseconds, and size in bytes


@contextmanager
def working_folder(place: str | Path, wanted: Wanted | None = None) -> Iterator[Path]:
    """A folder to work on the run at `place` in: itself on a disk, else a copy whose changes are
    sent on.

    Args:
        place: a path, or an address.
        wanted: which of the run's files are needed; None: all.

    Raises:
        RunError: the store cannot be reached; what was done stays in the local folder and is sent
            the next time.
    """
    if not is_address(place):
        yield Path(place)
        return
    store = StoredFolder(str(place))
    name = str(place).rstrip("/").rsplit("/", 1)[-1]
    # A process that does a part works in a folder of its own, beside others on the same machine.
    part = f"-{os.getpid()}" if wanted else ""
    folder = (
        cache_root()
        / "runs"
        / f"{hashlib.sha256(str(store).encode()).hexdigest()[:16]}{part}"
        / name
    )
    try:
        there: dict[str, Stamp] = {}
        if not (folder / UNSENT).exists():
            fetch_run(store, folder, wanted)
            there = dict(_stamps(folder))
        sender = _Sender(store, folder, there)
        with watched(folder, sender.send):
            try:
                yield folder
            finally:
                sender.finish()
    except OSError as error:
        raise RunError(
            f"{place}: {error.strerror or error}; what was done is kept in {folder}, and the same "
            f"command with "
            "--resume sends it"
        ) from None
    if wanted:
        shutil.rmtree(folder.parent, ignore_errors=True)


def fetch_run(store: StoredFolder, folder: Path, wanted: Wanted | None = None) -> None:
    """Make `folder` what the store holds.

    Raises:
        OSError: the store cannot be read.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in store.list_files():
        if wanted is None or wanted(path):
            fetch_file(str(store / path), folder / path)


def _stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """Path below `folder` and stamp of every file of the run there, sorted by path."""
    for file in sorted(folder.rglob("*")):
        if file.is_file() and not file.name.startswith("."):
            with suppress(FileNotFoundError):  # replaced by a later one, or taken away
                yield file.relative_to(folder).as_posix(), _stamp(file)


def _stamp(file: Path) -> Stamp:
    state = file.stat()
    return state.st_mtime_ns, state.st_size


class _Sender:
    """A thread that puts files into the store in the order in which they were finished.

    Args:
        store: where they go.
        folder: where they are made.
        there: path and stamp of what the store has already.
    """

    def __init__(self, store: StoredFolder, folder: Path, there: dict[str, Stamp]) -> None:
        self._store, self._folder = store, folder
        self._waiting: SimpleQueue[Path | None] = SimpleQueue()
        self._sent = there
        self._failure: OSError | None = None
        (folder / UNSENT).touch()
        self._thread = Thread(target=self._work, name="bestiary-sender", daemon=True)
        self._thread.start()

    def send(self, file: Path) -> None:
        """Put `file` into the store when its turn comes."""
        self._waiting.put(file)

    def finish(self) -> None:
        """Wait until all is sent, what was not written by `atomic` (a tracker's files) too.

        Raises:
            OSError: something could not be sent.
        """
        self._waiting.put(None)
        self._thread.join()
        if self._failure is None:
            for path, _ in _stamps(self._folder):
                self._put(self._folder / path)
        if self._failure is not None:
            raise self._failure
        (self._folder / UNSENT).unlink()

    def _work(self) -> None:
        while (file := self._waiting.get()) is not None:
            if self._failure is None:
                self._put(file)

    def _put(self, file: Path) -> None:
        path = file.relative_to(self._folder).as_posix()
        try:
            stamp = _stamp(file)
        except FileNotFoundError:
            return  # replaced by a later one, or taken away
        if self._sent.get(path) == stamp:
            return
        try:
            put_file(file, str(self._store / path))
        except OSError as error:
            self._failure = error
            return
        self._sent[path] = stamp
