"""Read and write files in object stores by address, such as s3://bucket/folder, with retries.

A folder in a store has `/`, `is_dir` and `resolve`, and a file has `read_bytes` and `is_file`, like
`pathlib.Path`. So code that reads images need not know where they are. fsspec provides the stores,
their credentials and endpoints. Knows nothing of what the bytes mean.
"""

import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

from bestiary.errors import DataError, one_line
from bestiary.printable import printable_name
from bestiary.regular_files import MAX_IMAGE_BYTES, read_regular

SCHEMES = ("s3", "gs", "az", "abfs", "hf", "file", "http", "https", "memory")
"""Kinds of stores that an address may name. fsspec knows others that run code or open further
addresses, and it chains addresses by ``::``; none of these is ever opened."""
TRIES = 3  # of one request; the store's own library repeats each a few times
MAX_SHOWN = 200  # characters of an address that an error quotes
SERVER_FAULT = 500  # HTTP's first status that blames the server
FIRST_WAIT = 0.1  # seconds before the second try; doubled before each further one

T = TypeVar("T")


@runtime_checkable
class Readable(Protocol):
    """A file that can be read whole."""

    def read_bytes(self) -> bytes:
        """Read the file; raises OSError."""

    def is_file(self) -> bool:
        """Return whether the file exists."""


class Root(Protocol):
    """A folder that image paths start from."""

    def __truediv__(self, path: str, /) -> Readable: ...

    def is_dir(self) -> bool:
        """Return whether the folder exists."""

    def resolve(self) -> "Root":
        """Return the folder under its absolute name."""


def is_address(location: str | os.PathLike[str]) -> bool:
    """Return whether `location` is the address of a store, not a path on a disk."""
    return "://" in os.fspath(location)


def check_address(address: str) -> None:
    """Check that an address names a store of `SCHEMES`, and nothing else through it.

    Args:
        address: of a file or folder.

    Raises:
        DataError: it is of another scheme, or chained.

    Example:
        >>> check_address("s3://bucket/images")
        >>> check_address("zip://a.jpg::s3://bucket/images.zip")
        Traceback (most recent call last):
        bestiary.errors.DataError: zip://a.jpg::s3://bucket/images.zip: is a chain of addresses...
    """
    shown = printable_name(address)[:MAX_SHOWN]
    if "::" in address:
        raise DataError(
            f"{shown}: is a chain of addresses (::), which is never opened; give a plain path or "
            f"one address"
        )
    scheme = address.partition("://")[0]
    if scheme not in SCHEMES:
        raise DataError(
            f"{shown}: addresses of {scheme[:20]!r} are never opened; give a plain path, or an "
            f"address of {', '.join(SCHEMES[:-1])}"
        )


def address_of(location: str | os.PathLike[str]) -> str:
    """Return `location` if it is an address, else an empty string."""
    if not is_address(location):
        return ""
    return os.fspath(location).rstrip("/")


def location(path_or_address: str | os.PathLike[str]) -> str:
    """Return the absolute name of a path or address."""
    address = address_of(path_or_address)
    if address:
        return address
    path = Path(path_or_address)
    return str(path.resolve())


def folder_at(location: str | Path) -> Root:
    """Return the folder of files at a path or address."""
    if is_address(location):
        return StoredFolder(str(location))
    return Path(location)


def read_file(file: Readable) -> bytes:
    """Read a file whole; of one on this disk, only a regular file that is not too large.

    Args:
        file: on a disk, in an object store or in a shard.

    Raises:
        OSError: it cannot be read.
    """
    if isinstance(file, Path):
        return read_regular(file, MAX_IMAGE_BYTES)
    return file.read_bytes()


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file in a store."""

    address: str

    def __str__(self) -> str:
        return self.address

    def read_bytes(self) -> bytes:
        """Read the whole file.

        Returns:
            Its bytes.

        Raises:
            OSError: the file is missing, or `TRIES` tries failed.
        """
        files, path = open_store(self.address)
        content: bytes = retry(lambda: files.cat_file(path))
        return content

    def read_head(self, n_bytes: int) -> bytes:
        """Read the first bytes of the file.

        Args:
            n_bytes: number of bytes; a shorter file gives what it has.

        Raises:
            OSError: the file is missing, or `TRIES` tries failed.
        """
        files, path = open_store(self.address)
        head: bytes = retry(lambda: files.cat_file(path, start=0, end=n_bytes))
        return head

    def is_file(self) -> bool:
        """Return whether the file exists.

        Raises:
            DataError: the store does not answer.
        """
        return _kind_of(self.address) == "file"


@dataclass(frozen=True, slots=True)
class StoredFolder:
    """A folder in a store."""

    address: str

    def __str__(self) -> str:
        return self.address.rstrip("/")

    def __truediv__(self, path: str, /) -> StoredFile:
        return StoredFile(f"{self}/{path}")

    def resolve(self) -> "StoredFolder":
        """Return the folder itself: an address is absolute."""
        return StoredFolder(str(self))

    def is_dir(self) -> bool:
        """Return whether the folder contains anything.

        Raises:
            DataError: the store does not answer.
        """
        files, path = open_store(self.address)
        try:
            # A server over HTTP knows pages that list files, and no folders: all of it is a file.
            return bool(retry(lambda: files.isdir(path))) or _kind_of(self.address) == "directory"
        except OSError as error:
            raise _cannot_ask(self.address, error) from None

    def list_files(self) -> dict[str, int]:
        """List all files in and below the folder.

        Returns:
            Path below the folder -> size in bytes, sorted by path.

        Raises:
            OSError: the store cannot be read.
        """
        files, path = open_store(self.address)
        files.invalidate_cache()
        entries: dict[str, dict[str, Any]] = retry(lambda: files.find(path, detail=True))

        prefix = path.rstrip("/") + "/"
        sizes = {}
        for name in sorted(entries):
            path_below = name[len(prefix) :]
            sizes[path_below] = int(entries[name]["size"])
        return sizes


def _kind_of(address: str) -> str:
    """Return "file" or "directory", or an empty string where there is neither.

    fsspec's `isfile` says no where the store does not answer: a folder of shards would be taken for
    one without. A store that lets nobody list files also forbids a file that is absent.
    """
    files, path = open_store(address)
    try:
        return str(retry(lambda: files.info(path)["type"]))
    except (FileNotFoundError, PermissionError):
        return ""
    except OSError as error:
        raise _cannot_ask(address, error) from None


def _cannot_ask(address: str, error: OSError) -> DataError:
    return DataError(
        f"{address}: cannot be looked up ({error.strerror or one_line(error)}); try again later, "
        f"or check the address and the access"
    )


def fetch_file(address: str, goal: Path) -> None:
    """Download one file.

    Args:
        address: of the file in a store.
        goal: path of the copy; its folder is created.

    Raises:
        OSError: the file cannot be read, or does not arrive complete.
    """
    files, path = open_store(address)
    goal.parent.mkdir(parents=True, exist_ok=True)

    def download() -> None:
        size = files.size(path)
        files.get_file(path, str(goal))
        n_bytes = goal.stat().st_size
        if n_bytes != size:
            raise OSError(5, f"{n_bytes} of {size} bytes arrived")

    retry(download)


def put_file(file: Path, address: str) -> None:
    """Upload one file. In the store it appears complete or not at all.

    Args:
        file: on this disk.
        address: of the copy in a store.

    Raises:
        OSError: the copy cannot be written.
    """
    files, path = open_store(address)
    retry(lambda: files.put_file(str(file), path))


def open_store(address: str) -> tuple[Any, str]:
    """Open the fsspec file system of an address.

    Args:
        address: of a file or folder.

    Returns:
        The file system, and the path in it.

    Raises:
        DataError: the address is none that `check_address` allows, or the library of the store is
            not installed.
    """
    check_address(address)
    try:
        import fsspec

        files, path = fsspec.core.url_to_fs(address)
    except (ImportError, OSError, ValueError) as error:
        reason = one_line(error, 120)
        raise DataError(
            f"{address}: cannot be opened ({reason}); pip install 'bestiary[storage]'"
        ) from None
    return files, path


def retry(request: Callable[[], T]) -> T:
    """Make a request. Repeat it where the store is busy or a connection breaks.

    Args:
        request: called up to `TRIES` times.

    Returns:
        The result of the request.

    Raises:
        FileNotFoundError: at once.
        PermissionError: at once.
        OSError: `TRIES` tries failed.
    """
    for attempt in range(TRIES):
        try:
            return request()
        except Exception as error:  # each store's library has its own temporary errors
            is_final = isinstance(error, FileNotFoundError | PermissionError)
            if is_final and not _hides_fault(error):
                raise
            if attempt == TRIES - 1:
                reason = one_line(error, 120)
                raise OSError(5, f"failed {TRIES} times, last: {reason}") from error
            wait = FIRST_WAIT * 2**attempt
            time.sleep(wait)
    raise AssertionError("unreachable")


def _hides_fault(error: Exception) -> bool:
    """Return whether "not found" means that a server over HTTP did not answer, or not in order.

    fsspec says "not found" there whatever happened, and keeps the reason. Of S3 the reason is an
    answer.
    """
    reason = error.__cause__
    if reason is None or isinstance(reason, FileNotFoundError) or hasattr(reason, "response"):
        return False
    return getattr(reason, "status", SERVER_FAULT) >= SERVER_FAULT
