"""The user's cache folder: where it is, and how its least recently used files are evicted.

Everything in it can be computed again, except for working copies of runs in object stores. Knows
nothing of what the files contain.
"""

import atexit
import os
import shutil
import tempfile
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from stat import S_ISREG
from typing import Any

import platformdirs

from bestiary.errors import ArgumentError, BestiaryError
from bestiary.numbers import NO_BREAK, count
from bestiary.printable import printable_name

VARIABLE = "BESTIARY_CACHE"
KINDS = {
    "store": "decoded images, so that no run decodes them again",
    "image-info": "sizes and digests of images",
    "facts-v": "sizes and digests of images",
    "frozen-features": "features of frozen networks",
    "features": "features of frozen networks",
    "graphs": "networks as OpenVINO runs them",
    "shards": "lists of shards",
    "compute": "the fastest precision and layout, as measured here",
}
"""Start of a name in the cache -> what it holds. Other files there are not ours."""
RUN_COPIES = "runs"
SHARD_VARIABLE = "BESTIARY_SHARD_CACHE_GB"
SHARD_CACHE_GB = "20"  # where that variable is not set
MAX_GB = 1e9


def cache_root() -> Path:
    """Return the folder named by `BESTIARY_CACHE`, or else the user's cache folder."""
    return Path(os.environ.get(VARIABLE) or platformdirs.user_cache_dir("bestiary"))


def shard_cache_bytes() -> int:
    """The most bytes of downloaded shards on this disk, as `BESTIARY_SHARD_CACHE_GB` says.

    Raises:
        ArgumentError: it is not a number above 0.
    """
    named = os.environ.get(SHARD_VARIABLE) or SHARD_CACHE_GB
    try:
        gigabytes = float(named)
    except ValueError:
        gigabytes = 0.0
    if not 0 < gigabytes < MAX_GB:
        raise ArgumentError(
            f"{SHARD_VARIABLE}={named}: is no number of gigabytes above 0; write {SHARD_CACHE_GB}, "
            f"or unset it"
        )
    return int(gigabytes * 1e9)


def ensure_cache(notice: Callable[[str], object]) -> None:
    """Make the cache folder. Where that fails, use a temporary one until this process ends.

    Processes that this one starts use the temporary folder too.

    Args:
        notice: shows the user a line about it.
    """
    root = cache_root()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        os.environ[VARIABLE] = str(spare_folder())
        notice(
            f"{root}: the cache folder cannot be made ({error.strerror}), so nothing is cached for "
            f"later commands; {VARIABLE} names another"
        )


def spare_folder() -> Path:
    """Make a temporary folder for what the cache cannot take; it goes when this process ends.

    Raises:
        BestiaryError: the folder of temporary files cannot be written either.
    """
    try:
        folder = tempfile.mkdtemp(prefix="bestiary-cache-")
    except OSError as error:
        raise BestiaryError(
            f"{cache_root()}: cannot be written, nor can the folder of temporary files "
            f"({error.strerror}); free space, or name other folders with {VARIABLE} and TMPDIR"
        ) from None
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return Path(folder)


def write_or_spare(
    file: Path, write: Callable[[Path], object], notice: Callable[[str], object]
) -> Path:
    """Write a file of the cache; where the cache takes no more, into a temporary folder.

    Args:
        file: in the cache.
        write: writes the file that it is given.
        notice: shows a line where it is the temporary one.

    Returns:
        The file that was written.

    Raises:
        BestiaryError: neither of them can be written.
    """
    try:
        write(file)
    except BestiaryError as error:
        notice(not_cached(error))
        file = spare_folder() / file.name
        write(file)
    return file


def not_cached(error: BestiaryError) -> str:
    """Say that the cache takes no more, from the error of the file that could not be written.

    Example:
        >>> print(not_cached(BestiaryError("/a: cannot be written (full); free space")))
        /a: cannot be written (full), so nothing is kept there; BESTIARY_CACHE names another folder
    """
    cause, _, _ = str(error).rpartition("; ")  # the remedy of a file that must be written
    return f"{cause or error}, so nothing is kept there; {VARIABLE} names another folder"


def mark_used(file: Path) -> None:
    """Renew a file's modification time, so that it is evicted later.

    A cache may be shared and read-only, and another process may have evicted the file.
    """
    with suppress(OSError):
        os.utime(file)


def evict_least_recently_used(entries: Iterable[tuple[Path, ...]], max_bytes: int) -> None:
    """Remove the least recently used entries of a cache until the rest fits.

    Args:
        entries: files that belong together; the modification time of the first is when the
            entry was last used.
        max_bytes: bytes that may stay.
    """
    # Measure every entry; another process may be evicting at the same time.
    measured = []
    for files in entries:
        with suppress(FileNotFoundError):
            last_used = files[0].stat().st_mtime
            size = sum(file.stat().st_size for file in files)
            measured.append((last_used, size, files))
    # Remove, oldest first.
    total = sum(size for _, size, _ in measured)
    for _, size, files in sorted(measured, key=lambda entry: entry[0]):
        if total <= max_bytes:
            return
        with suppress(OSError):  # a shared cache may be read-only
            for file in files:
                file.unlink(missing_ok=True)
            total -= size


@dataclass(frozen=True, slots=True)
class CacheContents:
    """What is in the cache folder.

    Attributes:
        root: the folder.
        sizes: what -> its bytes, of what is there.
        entries: files and folders that can be removed.
        unsent: working copies of runs in object stores, which are never removed here.
        is_cleared: whether the entries have been removed.
    """

    root: Path
    sizes: dict[str, int]
    entries: list[Path]
    unsent: int = 0
    is_cleared: bool = False

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "folder": self.root,
            "bytes": sum(self.sizes.values()),
            "kinds": [{"kind": kind, "bytes": size} for kind, size in self.sizes.items()],
            "working_copies": self.unsent,
            "cleared": self.is_cleared,
        }

    def cleared(self) -> "CacheContents":
        """Remove the entries.

        Raises:
            ArgumentError: one of them cannot be removed.
        """
        for entry in self.entries:
            try:
                if entry.is_dir() and not entry.is_symlink():
                    shutil.rmtree(entry)
                else:
                    entry.unlink(missing_ok=True)
            except OSError as error:
                reason = error.strerror or str(error)
                raise ArgumentError(
                    f"{entry}: cannot be removed ({reason}); remove it yourself, or set {VARIABLE}"
                ) from None
        return replace(self, is_cleared=True)

    def __str__(self) -> str:
        total = gigabytes(sum(self.sizes.values()))
        lines = [f"{printable_name(self.root)}: {total} ({VARIABLE} names another folder)"]
        lines += [f"  {gigabytes(size):>9}  {what}" for what, size in self.sizes.items() if size]
        if self.unsent:
            copies = count(self.unsent, "working copy", "working copies")
            lines.append(f"{copies} of runs in object stores, in runs/, which stay.")
        if self.is_cleared:
            lines.append(f"Removed: {total}. All of it is computed again when it is needed.")
        elif self.entries:
            lines.append("To remove all of it: bestiary cache --clear")
        return "\n".join(lines)


def measure_cache() -> CacheContents:
    """Measure what the cache holds, this version's files and those of earlier ones.

    Example:
        >>> measure_cache().root == cache_root()
        True
    """
    root = cache_root()
    sizes = dict.fromkeys(KINDS.values(), 0)
    found = []
    for entry in sorted(root.iterdir()) if root.is_dir() else []:
        kind = next((what for name, what in KINDS.items() if entry.name.startswith(name)), None)
        if kind is not None:
            found.append(entry)
            sizes[kind] += _size(entry)
    copies = len(list((root / RUN_COPIES).glob("*"))) if (root / RUN_COPIES).is_dir() else 0
    return CacheContents(root, sizes, found, copies)


def gigabytes(size: int) -> str:
    r"""Format bytes in the unit that people think in.

    Example:
        >>> gigabytes(2_300_000_000), gigabytes(4_200_000), gigabytes(12)
        ('2.3\xa0GB', '4.2\xa0MB', '<\xa00.1\xa0MB')
    """
    if size >= 1e9:
        return f"{size / 1e9:.1f}{NO_BREAK}GB"
    return f"{size / 1e6:.1f}{NO_BREAK}MB" if size >= 5e4 else f"<{NO_BREAK}0.1{NO_BREAK}MB"


def _size(entry: Path) -> int:
    """Count the bytes of a file, or of all files below a folder; links are not followed."""
    files = [entry] if not entry.is_dir() or entry.is_symlink() else entry.rglob("*")
    total = 0
    for file in files:
        with suppress(OSError):
            stat = file.lstat()
            total += stat.st_size if S_ISREG(stat.st_mode) else 0
    return total
