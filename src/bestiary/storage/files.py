"""An address such as s3://bucket/folder -> its files' bytes, read again a bounded number of times
where that fails.

A folder in a store answers to `/`, `is_dir` and `resolve`, a file to `read_bytes` and `is_file`, as
`pathlib.Path` does, so that whoever reads images does not ask where they lie. Which stores there
are, and how one gets into them, is fsspec's (credentials, endpoints: as for any program that uses
it). Knows nothing of what the bytes mean.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from bestiary.errors import DataError, one_line

TRIES = 3  # of one request, each of which the store's own library repeats a few times
FIRST_WAIT = 0.1  # seconds before the second try; twice as long before each further one

T = TypeVar("T")


@runtime_checkable
class Readable(Protocol):
    """A file that can be read whole."""

    def read_bytes(self) -> bytes:
        """Its bytes; raises OSError."""

    def is_file(self) -> bool:
        """Whether it is there."""


class Root(Protocol):
    """A folder that paths start from."""

    def __truediv__(self, path: str, /) -> Readable: ...

    def is_dir(self) -> bool:
        """Whether it is there."""

    def resolve(self) -> "Root":
        """Its one name."""


def is_address(place: str | Path) -> bool:
    """Whether `place` is in a store rather than on a disk."""
    return "://" in str(place)


def address_of(place: str | Path) -> str:
    """`place` where it is an address, else nothing."""
    return str(place).rstrip("/") if is_address(place) else ""


def location(place: str | Path) -> str:
    """One name for a place, however it was written."""
    return address_of(place) or str(Path(place).resolve())


def folder_at(place: str | Path) -> Root:
    """The folder of files at a place."""
    return StoredFolder(str(place)) if is_address(place) else Path(place)


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a store."""

    address: str

    def __str__(self) -> str:
        return self.address

    def read_bytes(self) -> bytes:
        """The bytes of the whole file.

        Raises:
            OSError: it is missing, or cannot be read in `TRIES` tries.
        """
        files, path = open_store(self.address)
        content: bytes = retried(lambda: files.cat_file(path))
        return content

    def is_file(self) -> bool:
        """Whether it is there."""
        files, path = open_store(self.address)
        return bool(retried(lambda: files.isfile(path)))


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder in a store."""

    address: str

    def __str__(self) -> str:
        return self.address.rstrip("/")

    def __truediv__(self, path: str, /) -> StoredFile:
        return StoredFile(f"{self}/{path}")

    def resolve(self) -> "StoredFolder":
        """The folder itself: an address is whole."""
        return StoredFolder(str(self))

    def is_dir(self) -> bool:
        """Whether anything is there."""
        files, path = open_store(self.address)
        return bool(retried(lambda: files.isdir(path)))

    def list_files(self) -> dict[str, int]:
        """Path below the folder and size in bytes of every file, sorted by path."""
        files, path = open_store(self.address)
        files.invalidate_cache()
        found: dict[str, dict[str, Any]] = retried(lambda: files.find(path, detail=True))
        start = len(path.rstrip("/")) + 1
        return {name[start:]: int(entry["size"]) for name, entry in sorted(found.items())}


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


def put_file(file: Path, address: str) -> None:
    """Copy `file` to its place in a store, where it appears whole or not at all.

    Raises:
        OSError: it cannot be written.
    """
    files, path = open_store(address)
    retried(lambda: files.put_file(str(file), path))


def open_store(address: str) -> tuple[Any, str]:
    """The file system of fsspec for `address`, and the path in it.

    Raises:
        DataError: no such kind of store, or its library is not installed.
    """
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, ValueError) as error:
        reason = one_line(error, 120)
        raise DataError(
            f"{address}: cannot be opened ({reason}); pip install 'bestiary[storage]'"
        ) from None
    return files, path


def retried(request: Callable[[], T]) -> T:
    """The result of a request, made again where the store is busy or a connection breaks.

    Raises:
        FileNotFoundError: at once.
        PermissionError: at once.
        OSError: it has failed `TRIES` times.
    """
    for number in range(TRIES):
        try:
            return request()
        except (FileNotFoundError, PermissionError):
            raise
        except Exception as error:  # each store's library has errors of its own for what passes
            if number == TRIES - 1:
                reason = one_line(error, 120)
                raise OSError(5, f"failed {TRIES} times, last: {reason}") from error
            time.sleep(FIRST_WAIT * 2**number)
    raise AssertionError("unreachable")
