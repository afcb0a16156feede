"""Read images from tar shards in WebDataset's layout, with an index and a cache of shards.

A shard contains two files for each image: the image, and a .json with path, label, group and split.
Both have one key, as WebDataset readers expect (Aizman et al. 2019, arXiv:2001.01858).
index.parquet, next to the shards, names the shard and the offset of each image. Shards in an object
store are downloaded whole, one after the other, into a bounded local cache. In memory, an image
takes 28 bytes: its location. Knows nothing of the order of training: a reader that follows
`reading_order` reads each shard once.
"""

import hashlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.caches import cache_root, shard_cache_bytes
from bestiary.errors import DataError
from bestiary.storage.files import StoredFolder, fetch_file, folder_at, is_address, location
from bestiary.tables import TableError, check_table, table_errors

INDEX = "index.parquet"
INDEX_SCHEMA = {
    "path": pl.String,  # below the folder that was sharded
    "label": pl.String,
    "group": pl.String,
    "split": pl.String,
    "shard": pl.Int32,
    "offset": pl.Int64,  # of the image's first byte in its shard
    "bytes": pl.Int64,
}
INDEX_ROWS = 1 << 15  # rows of the index to write, and to read, at a time
MAX_OPEN_SHARDS = 256  # of local shards, below the number of files that a process may open
PREFETCH_SHARDS = 2  # shards that are downloaded ahead of time


def shard_name(shard: int) -> str:
    """Return the file name of a shard."""
    return f"shard-{shard:06d}.tar"


@dataclass(frozen=True, slots=True)
class ShardedFile:
    """An image in a shard."""

    folder: "ShardFolder"
    path: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.path}"

    def read_bytes(self) -> bytes:
        """Read the image file; raises OSError."""
        return self.folder.read(self.path)

    def is_file(self) -> bool:
        """Return whether the index names the image."""
        return self.path in self.folder


class ShardFolder:
    """The images in a folder of shards, on a disk or in an object store.

    Args:
        folder: path or address of the folder.
        cache_bytes: the most bytes of downloaded shards on this disk; the least recently used is
            removed first. None: see `bestiary.caches.shard_cache_bytes`.

    Raises:
        ArgumentError: the environment gives no such number.
        DataError: the index cannot be read.
    """

    def __init__(self, folder: str | Path, cache_bytes: int | None = None) -> None:
        self.location = location(folder)
        self._index = _ImageIndex.read(self.location)
        room = shard_cache_bytes() if cache_bytes is None else cache_bytes
        self._cache = _ShardCache(self.location, room)
        self._next_shards: dict[int, list[int]] = {}

    def __str__(self) -> str:
        return self.location

    def __truediv__(self, path: str, /) -> ShardedFile:
        return ShardedFile(self, path)

    def list_images(self) -> pl.DataFrame:
        """Read the index from its file. It does not stay in memory.

        Returns:
            Columns as in `INDEX_SCHEMA`, sorted by path.

        Raises:
            DataError: the index cannot be read.
        """
        with _scan_index(self.location) as index:
            table = index.collect()
        if not table["path"].is_sorted():
            table = table.sort("path")
        return table

    def resolve(self) -> "ShardFolder":
        """Return the folder itself."""
        return self

    def is_dir(self) -> bool:
        """Return True: the index has been read, so the folder exists."""
        return True

    def __contains__(self, path: str) -> bool:
        return self._index.row(path) is not None

    def read(self, path: str) -> bytes:
        """Read an image file.

        Args:
            path: of the image, as in the index.

        Returns:
            Its bytes.

        Raises:
            OSError: the index does not name the image, or its shard cannot be read.
        """
        row = self._index.row(path)
        if row is None:
            raise FileNotFoundError(2, f"not in {INDEX}")
        shard = int(self._index.shards[row])
        offset = int(self._index.offsets[row])
        size = int(self._index.sizes[row])
        content = self._cache.read(shard, offset, size)

        # Prefetch the shards that follow.
        for next_shard in self._next_shards.get(shard, ()):
            self._cache.open(next_shard)
        return content

    def shards_of(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int32]:
        """Return the number of each path's shard, (paths,)."""
        rows = self._index.rows(paths)
        return self._index.shards[rows]

    def reading_order(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
        """Sort images by shard and offset, so that each shard is read once, and prefetch these.

        Args:
            paths: of the images, as in the index.

        Returns:
            Indices of `paths`, (paths,).
        """
        rows = self._index.rows(paths)
        shards = self._index.shards[rows]
        offsets = self._index.offsets[rows]
        order = np.lexsort((offsets, shards)).astype(np.int64)
        self.prefetch(shards[order])
        return order

    def prefetch(self, shards: NDArray[np.int32]) -> None:
        """Announce the order in which shards are read, so that the next ones are prefetched.

        Args:
            shards: shard of each image in reading order, (images,).
        """
        order = pl.Series(shards).unique(maintain_order=True).to_list()
        next_shards = {}
        for index, shard in enumerate(order, start=1):
            next_shards[shard] = order[index : index + PREFETCH_SHARDS]
        self._next_shards = next_shards


@dataclass(frozen=True, slots=True)
class _ImageIndex:
    """The location of each image, by a hash of its path, so that no path stays in memory.

    Attributes:
        keys: hash of each image's path, sorted and unique, (images,).
        shards: number of its shard, (images,).
        offsets: of its first byte in the shard, (images,).
        sizes: its bytes, (images,).
    """

    keys: NDArray[np.int64]
    shards: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def read(cls, folder: str) -> Self:
        """Read the index of `folder`; raises DataError where it is damaged or has duplicates."""
        columns = _read_columns(folder)
        order = np.argsort(columns["keys"])
        # Each sorted column replaces the unsorted one before the next is sorted: at 10^6 rows this
        # takes 12 MB less at the peak.
        for name, values in columns.items():
            columns[name] = values[order]
        keys = columns["keys"]
        if (keys[1:] == keys[:-1]).any():
            raise DataError(f"{folder}/{INDEX}: names an image twice; write the shards again")
        return cls(**columns)

    def row(self, path: str) -> int | None:
        """Find the row of an image, or None."""
        key = hash(path)
        row = int(self.keys.searchsorted(key))
        if row == len(self.keys) or self.keys[row] != key:
            return None
        return row

    def rows(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
        """Find the row of each image, (paths,). The index must name them all."""
        keys = _keys(paths)
        return self.keys.searchsorted(keys)


def _read_columns(folder: str) -> dict[str, NDArray[Any]]:
    """Read the columns of `_ImageIndex` in the order of the file, in chunks to save memory."""
    with _scan_index(folder) as index:
        n_images = int(index.select(pl.len()).collect().item())
        columns: dict[str, NDArray[Any]] = {
            "keys": np.empty(n_images, np.int64),
            "shards": np.empty(n_images, np.int32),
            "offsets": np.empty(n_images, np.int64),
            "sizes": np.empty(n_images, np.int64),
        }
        for start in range(0, n_images, INDEX_ROWS):
            chunk = _read_chunk(index, start, folder)
            for name, values in chunk.items():
                columns[name][start : start + len(values)] = values
    return columns


def _read_chunk(index: pl.LazyFrame, start: int, folder: str) -> dict[str, NDArray[Any]]:
    """Read the columns of `_ImageIndex` for up to `INDEX_ROWS` images from `start` on."""
    locations = index.select("path", "shard", "offset", "bytes")
    chunk = locations.slice(start, INDEX_ROWS).collect()
    n_gaps = chunk.null_count().sum_horizontal().item()
    if n_gaps:
        raise DataError(f"{folder}/{INDEX}: has gaps; write the shards again")
    return {
        "keys": _keys(chunk["path"]),
        "shards": chunk["shard"].to_numpy(),
        "offsets": chunk["offset"].to_numpy(),
        "sizes": chunk["bytes"].to_numpy(),
    }


def _keys(paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
    """Hash each path to its key in the index, (paths,)."""
    # Python's hash of text is SipHash with a random key for each process (Aumasson and Bernstein
    # 2012), so nobody can prepare two paths with one hash. By chance, two of 10^7 paths share a
    # hash in 1 of 400,000 processes.
    hashes = map(hash, paths)
    return np.fromiter(hashes, np.int64, len(paths))


class _OpenShard:
    """An open shard, closed when nothing refers to it."""

    def __init__(self, file: Path) -> None:
        self.handle = os.open(file, os.O_RDONLY)
        self.size = os.fstat(self.handle).st_size

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)


class _ShardCache:
    """Open shards: local ones in place, and copies of remote ones within a limit of bytes.

    Args:
        location: absolute path or address of the folder of shards.
        max_bytes: the most bytes of the copies.
    """

    def __init__(self, location: str, max_bytes: int) -> None:
        self._location = location
        self._max_bytes = max_bytes
        self._is_remote = is_address(location)
        self._folder = _copies_of(location) if self._is_remote else Path(location)

        # By number, the least recently used first.
        self._shards: OrderedDict[int, Future[_OpenShard]] = OrderedDict()
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(PREFETCH_SHARDS, "bestiary-shards")

    def read(self, shard: int, offset: int, size: int) -> bytes:
        """Read `size` bytes of a shard from `offset` on."""
        open_shard = self.open(shard).result()
        content = os.pread(open_shard.handle, size, offset)
        if len(content) != size:
            raise OSError(5, f"{shard_name(shard)} is cut short")
        return content

    def open(self, shard: int) -> "Future[_OpenShard]":
        """Open a shard in the background, unless it is open or about to be."""
        with self._lock:
            if shard in self._shards:
                self._shards.move_to_end(shard)
            else:
                self._shards[shard] = self._pool.submit(self._fetch, shard)
            return self._shards[shard]

    def _fetch(self, shard: int) -> _OpenShard:
        """Open a shard, downloaded first where it is remote, then close old ones."""
        name = shard_name(shard)
        file = self._folder / name
        try:
            if self._is_remote:
                fetch_file(f"{self._location}/{name}", file)
            open_shard = _OpenShard(file)
            if self._is_remote:
                file.unlink()  # the open file still has its bytes, and a crash leaves none behind
        except OSError:
            with self._lock:
                self._shards.pop(shard, None)  # the next read tries again
            raise
        self._make_room(shard)
        return open_shard

    def _make_room(self, newest: int) -> None:
        """Close the least recently used shards, see `_is_over_limit`."""
        with self._lock:
            sizes = {}
            for shard, future in self._shards.items():
                is_open = future.done() and not future.exception()
                if is_open and shard != newest:
                    sizes[shard] = future.result().size

            used = sum(sizes.values())
            candidates = list(sizes)
            while candidates and self._is_over_limit(used, len(candidates)):
                oldest = candidates.pop(0)
                used -= sizes[oldest]
                del self._shards[oldest]  # a thread that is reading it still refers to it

    def _is_over_limit(self, n_bytes: int, n_shards: int) -> bool:
        """Check the bytes of remote copies, or the number of local files that are open."""
        if self._is_remote:
            return n_bytes > self._max_bytes
        return n_shards > MAX_OPEN_SHARDS


def _copies_of(location: str) -> Path:
    """Return the folder in the cache for this process's copies of remote shards."""
    digest = hashlib.sha256(location.encode()).hexdigest()
    name = f"{digest[:16]}-{os.getpid()}"
    return cache_root() / "shards" / name


def has_index(folder: str | Path) -> bool:
    """Return whether a folder, by path or address, contains shards with an index."""
    index = folder_at(folder) / INDEX
    return index.is_file()


@contextmanager
def _scan_index(folder: str) -> Iterator[pl.LazyFrame]:
    """Open the index of `folder`, columns as in `INDEX_SCHEMA`, for reading within the block.

    Raises:
        DataError: the index cannot be read.
    """
    try:
        with table_errors():
            source = _index_source(folder)
            index = pl.scan_parquet(source)
            yield index.select(pl.col(name).cast(kind) for name, kind in INDEX_SCHEMA.items())
    except (OSError, TableError) as error:
        raise DataError(
            f"{folder}/{INDEX}: cannot be read ({error}); write the shards again"
        ) from None


def _index_source(folder: str) -> Path | BytesIO:
    if not is_address(folder):
        index = Path(folder) / INDEX
        check_table(index)
        return index
    file = StoredFolder(folder) / INDEX
    return BytesIO(file.read_bytes())
