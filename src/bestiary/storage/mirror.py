"""A run at an address -> a local folder to work in, whose finished files are sent to the store as they are written.

Stores have no renaming, no locks and no appending, which a run in training lives by; so it is worked on locally, as
ever, and every file that `atomic` has made whole is put into the store whole (an object appears at once or not at
all). A later command, on any machine, fetches the run first. What is lost with a machine is what came after the last
state that was sent. Knows nothing of what the files mean.
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Thread

from bestiary.atomic import watched
from bestiary.caches import cache_root
from bestiary.errors import RunError
from bestiary.storage.files import StoredFolder, is_address, open_store, retried

UNSENT = ".unsent"  # there while the folder may hold what the store does not
Wanted = Callable[[str], bool]  # of a path below the run


@contextmanager
def working_folder(place: str | Path, wanted: Wanted | None = None) -> Iterator[Path]:
    """A folder to work on the run at `place` in: itself on a disk, else a copy whose changes are sent on.

    Args:
        place: a path, or an address.
        wanted: which of the run's files are needed; None: all.

    Raises:
        RunError: the store cannot be reached; what was done stays in the local folder and is sent the next time.
    """
    if not is_address(place):
        yield Path(place)
        return
    store = StoredFolder(str(place))
    name = str(place).rstrip("/").rsplit("/", 1)[-1]
    # A process that does a part works in a folder of its own, beside others on the same machine.
    part = f"-{os.getpid()}" if wanted else ""
    folder = cache_root() / "runs" / f"{hashlib.sha256(str(store).encode()).hexdigest()[:16]}{part}" / name
    try:
        if not (folder / UNSENT).exists():
            fetch_run(store, folder, wanted)
        sender = _Sender(store, folder)
        with watched(folder, sender.send):
            try:
                yield folder
            finally:
                sender.finish()
    except OSError as error:
        raise RunError(
            f"{place}: {error.strerror or error}; what was done is kept in {folder}, and the same command with "
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


def fetch_file(address: str, goal: Path) -> None:
    """Copy one file of a store to `goal`.

    Raises:
        OSError: it cannot be read, or not all of it.
    """
    files, path = open_store(address)
    goal.parent.mkdir(parents=True, exist_ok=True)

    def get() -> None:
        size = files.size(path)
        files.get_file(path, str(goal))
        if goal.stat().st_size != size:
            raise OSError(5, f"{goal.stat().st_size} of {size} bytes came")

    retried(get)


class _Sender:
    """A thread that puts files into the store in the order in which they were finished."""

    def __init__(self, store: StoredFolder, folder: Path) -> None:
        self._store, self._folder = store, folder
        self._waiting: SimpleQueue[Path | None] = SimpleQueue()
        self._sent: dict[str, tuple[int, int]] = {}
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
            for file in sorted(self._folder.rglob("*")):
                if file.is_file() and not file.name.startswith("."):
                    self._put(file)
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
            stat = file.stat()
        except FileNotFoundError:
            return  # replaced by a later one, or taken away
        stamp = (stat.st_mtime_ns, stat.st_size)
        if self._sent.get(path) == stamp:
            return
        files, goal = open_store(str(self._store / path))
        try:
            retried(lambda: files.put_file(str(file), goal))
        except OSError as error:
            self._failure = error
            return
        self._sent[path] = stamp
