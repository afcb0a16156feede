"""Mirror a run in an object store: work in a local folder, and upload each file as it is written.

Training needs rename, locks and append, and stores have none of them. So a run at an address has a
local copy in the cache folder, and commands work there. Each file that `bestiary.atomic` completes
is uploaded in one piece, so an object appears complete or not at all. A later command, on any
machine, downloads the run first. A machine that fails loses only what came after the last uploaded
state. A run on the Hugging Face hub is only read. Knows nothing of what the files mean.
"""

import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import SimpleQueue
from threading import Thread, get_ident

from bestiary.atomic import watch_writes
from bestiary.caches import cache_root
from bestiary.display import Display
from bestiary.errors import RunError
from bestiary.printable import printable_name, shell_name
from bestiary.storage.files import StoredFolder, fetch_file, is_address, put_file
from bestiary.storage.hub import fetch_from_hub, is_hub

UNSENT = ".unsent"  # exists while the folder may contain what the store lacks
PathFilter = Callable[[str], bool]  # of a path below the run
Stamp = tuple[int, int]  # time of change in nanoseconds, and size in bytes


@contextmanager
def working_folder(location: str | Path, is_needed: PathFilter | None = None) -> Iterator[Path]:
    """Provide a local folder for work on a run.

    Args:
        location: of the run. A path is itself the folder. An address has a local copy, and changes
            of the copy are uploaded; not to the hub, whose copy is gone after the block.
        is_needed: whether a file of the run is needed, by its path. With None, all are.

    Yields:
        The folder.

    Raises:
        RunError: the store cannot be reached. The work stays in the local folder and is uploaded
            the next time. Or the whole of a run on the hub is asked for, to train it.
    """
    if not is_address(location):
        yield Path(location)
        return

    store = StoredFolder(str(location))
    if is_hub(location):
        with _hub_copy(str(location), is_needed) as folder:
            yield folder
        return
    folder = _local_copy(store, is_partial=is_needed is not None)
    try:
        # Download the run, unless the local copy is ahead of the store.
        uploaded: dict[str, Stamp] = {}
        if not (folder / UNSENT).exists():
            fetch_run(store, folder, is_needed)
            uploaded = dict(_stamps(folder))

        # Upload what the caller writes.
        uploader = _Uploader(store, folder, uploaded)
        with watch_writes(folder, uploader.upload):
            try:
                yield folder
            finally:
                uploader.finish()
    except OSError as error:
        reason = error.strerror or error
        raise RunError(
            f"{location}: {reason}; the work so far is in {folder}, and the "
            "same command with --resume uploads it"
        ) from None

    if is_needed:
        shutil.rmtree(folder.parent, ignore_errors=True)


@contextmanager
def _hub_copy(address: str, is_needed: PathFilter | None) -> Iterator[Path]:
    """Provide a copy of a run on the hub, and remove it after the block."""
    if is_needed is None:
        raise RunError(
            f"{printable_name(address)}: no run is trained on the hub; train it in a folder, then "
            f"bestiary push RUN {shell_name(address)}"
        )
    copies = cache_root() / "runs"
    copies.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="hub-", dir=copies) as folder:
        copy = Path(folder) / "run"
        copy.mkdir()
        fetch_from_hub(address, copy, is_needed, Display())
        yield copy


def _local_copy(store: StoredFolder, *, is_partial: bool) -> Path:
    """Return the folder in the cache for a run in a store."""
    address = str(store)
    name = address.rsplit("/", 1)[-1]
    digest = hashlib.sha256(address.encode()).hexdigest()
    folder = digest[:16]
    if is_partial:
        # A thread that needs a part of the run has its own folder: other threads and processes of
        # this machine may need another part, or remove theirs.
        folder += f"-{os.getpid()}-{get_ident()}"
    return cache_root() / "runs" / folder / name


def fetch_run(store: StoredFolder, folder: Path, is_needed: PathFilter | None = None) -> None:
    """Download a run.

    Args:
        store: the run in the store.
        folder: the local copy, which is emptied first.
        is_needed: whether a file of the run is needed, by its path. With None, all are.

    Raises:
        OSError: the store cannot be read.
    """
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for path in store.list_files():
        if is_needed is None or is_needed(path):
            file = store / path
            fetch_file(file.address, folder / path)


def _stamps(folder: Path) -> Iterator[tuple[str, Stamp]]:
    """Yield the path below `folder` and the stamp of every file of the run, sorted by path."""
    for file in sorted(folder.rglob("*")):
        is_hidden = file.name.startswith(".")
        if is_hidden or not file.is_file():
            continue
        with suppress(FileNotFoundError):  # replaced by a later one, or removed
            stamp = _stamp(file)
            path = file.relative_to(folder)
            yield path.as_posix(), stamp


def _stamp(file: Path) -> Stamp:
    status = file.stat()
    return status.st_mtime_ns, status.st_size


class _Uploader:
    """A thread that uploads files in the order in which they were completed.

    Args:
        store: where files are uploaded to.
        folder: where files are written.
        uploaded: path and stamp of the files that the store has already.
    """

    def __init__(self, store: StoredFolder, folder: Path, uploaded: dict[str, Stamp]) -> None:
        self._store = store
        self._folder = folder
        self._queue: SimpleQueue[Path | None] = SimpleQueue()  # None ends the thread
        self._uploaded = uploaded
        self._failure: OSError | None = None

        (folder / UNSENT).touch()
        self._thread = Thread(
            target=self._work,
            name="bestiary-uploader",
            daemon=True,
        )
        self._thread.start()

    def upload(self, file: Path) -> None:
        """Queue `file` for upload."""
        self._queue.put(file)

    def finish(self) -> None:
        """Wait until everything is uploaded, a tracker's files included.

        Raises:
            OSError: a file could not be uploaded.
        """
        self._queue.put(None)
        self._thread.join()

        # Trackers do not write by `bestiary.atomic`, so their files were never queued.
        if self._failure is None:
            for path, _ in _stamps(self._folder):
                self._put(self._folder / path)

        if self._failure is not None:
            raise self._failure
        (self._folder / UNSENT).unlink()

    def _work(self) -> None:
        while (file := self._queue.get()) is not None:
            if self._failure is None:
                self._put(file)

    def _put(self, file: Path) -> None:
        path = file.relative_to(self._folder).as_posix()
        try:
            stamp = _stamp(file)
        except FileNotFoundError:
            return  # replaced by a later one, or removed
        if self._uploaded.get(path) == stamp:
            return

        copy = self._store / path
        try:
            put_file(file, copy.address)
        except OSError as error:
            self._failure = error
            return
        self._uploaded[path] = stamp
