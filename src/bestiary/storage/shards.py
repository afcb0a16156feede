"""Tar shards in WebDataset's layout and their index -> the bytes of each image, by its path.

A shard holds for each image its file and a .json with path, label, group and split, under one key,
as WebDataset readers expect (Aizman et al. 2019, arXiv:2001.01858); index.parquet beside the shards
says where in which shard each image's bytes begin. Shards in a store are fetched whole, one after
the other, into a local cache with a bound; images are then read at their place, and what memory
holds of one is where that is, 28 bytes. Knows nothing of what is read when: whoever reads in
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
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.caches import cache_root
from bestiary.errors import DataError
from bestiary.storage.files import StoredFolder, fetch_file, folder_at, is_address, location
from bestiary.tables import TableError, foreign_table

INDEX = "index.parquet"
SCHEMA = {
    "path": pl.String,  # as below the folder that was sharded
    "label": pl.String,
    "group": pl.String,
    "split": pl.String,
    "shard": pl.Int32,
    "offset": pl.Int64,  # of the image's first byte in its shard
    "bytes": pl.Int64,
}
CACHE_BYTES = int(
    float(os.environ.get("BESTIARY_SHARD_CACHE_GB", "20")) * 1e9
)  # of fetched shards on this disk
AHEAD = 2  # shards fetched before they are asked for
INDEX_ROWS = 1 << 15  # rows of the index that are written, and read, at a time


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard-{number:06d}.tar"


@dataclass(frozen=True, slots=True)
class ShardedFile:
    """An image in a shard."""

    folder: "ShardFolder"
    path: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.path}"

    def read_bytes(self) -> bytes:
        """The image's bytes; raises OSError."""
        return self.folder.read(self.path)

    def is_file(self) -> bool:
        """Whether the index names it."""
        return self.path in self.folder


class ShardFolder:
    """The images in a folder of shards, which lies on a disk or in a store.

    Args:
        place: path or address of the folder.
        cache_bytes: of shards fetched from a store that are kept; the one used longest ago goes
            first.

    Raises:
        DataError: the index cannot be read.
    """

    def __init__(self, place: str | Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.place = location(place)
        self._places = _Places.at(self.place)
        self._cache = _ShardCache(self.place, cache_bytes)
        self._following: dict[int, list[int]] = {}

    def __str__(self) -> str:
        return self.place

    def __truediv__(self, path: str, /) -> ShardedFile:
        return ShardedFile(self, path)

    def list_images(self) -> pl.DataFrame:
        """The index, with the columns of `SCHEMA`, sorted by path; it is read anew, and not kept.

        Raises:
            DataError: it cannot be read.
        """
        with _index_at(self.place) as index:
            table = index.collect()
        return table if table["path"].is_sorted() else table.sort("path")

    def resolve(self) -> "ShardFolder":
        """The folder itself."""
        return self

    def is_dir(self) -> bool:
        """The index has been read, so it is there."""
        return True

    def __contains__(self, path: str) -> bool:
        return self._places.row(path) is not None

    def read(self, path: str) -> bytes:
        """The bytes of the image at `path`.

        Raises:
            OSError: the index does not name it, or its shard cannot be read.
        """
        row = self._places.row(path)
        if row is None:
            raise FileNotFoundError(2, f"not in {INDEX}")
        number = int(self._places.shards[row])
        content = self._cache.read(
            number, int(self._places.offsets[row]), int(self._places.sizes[row])
        )
        for coming in self._following.get(number, ()):
            self._cache.expect(coming)
        return content

    def shards_of(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int32]:
        """The number of each path's shard (paths,)."""
        return self._places.shards[self._places.rows(paths)]

    def reading_order(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
        """The order (paths,) in which each shard is read once, from its beginning to its end."""
        rows = self._places.rows(paths)
        return np.lexsort((self._places.offsets[rows], self._places.shards[rows])).astype(np.int64)

    def will_read(self, shards: NDArray[np.int32]) -> None:
        """Be told the order in which shards will be wanted, so that they are fetched ahead."""
        order = pl.Series(shards).unique(maintain_order=True).to_list()
        self._following = {
            shard: order[place + 1 : place + 1 + AHEAD] for place, shard in enumerate(order)
        }


@dataclass(frozen=True, slots=True)
class _Places:
    """Where each image lies, found by a hash of its path, so that no path is kept in memory.

    Attributes:
        keys: hash of each image's path, sorted, each once (images,).
        shards: number of its shard (images,).
        offsets: of its first byte in the shard (images,).
        sizes: its bytes (images,).
    """

    keys: NDArray[np.int64]
    shards: NDArray[np.int32]
    offsets: NDArray[np.int64]
    sizes: NDArray[np.int64]

    @classmethod
    def at(cls, place: str) -> Self:
        """Of the index at `place`; raises DataError where it cannot be read, or names an image
        twice.
        """
        with _index_at(place) as index:
            index = index.select("path", "shard", "offset", "bytes")
            count = int(index.select(pl.len()).collect().item())
            keys, shards = np.empty(count, np.int64), np.empty(count, np.int32)
            offsets, sizes = np.empty(count, np.int64), np.empty(count, np.int64)
            for first in range(0, count, INDEX_ROWS):
                part = index.slice(first, INDEX_ROWS).collect()
                if part.null_count().sum_horizontal().item():
                    raise DataError(f"{place}/{INDEX}: has gaps; write the shards anew")
                rows = slice(first, first + part.height)
                keys[rows], shards[rows] = _keys(part["path"]), part["shard"].to_numpy()
                offsets[rows], sizes[rows] = part["offset"].to_numpy(), part["bytes"].to_numpy()
        order = np.argsort(keys)
        # One column after the other, each taking the place of the unsorted one: at 10^6 rows 12 MB
        # less at the peak.
        keys = keys[order]
        shards = shards[order]
        offsets = offsets[order]
        sizes = sizes[order]
        if (keys[1:] == keys[:-1]).any():
            raise DataError(f"{place}/{INDEX}: names an image twice; write the shards anew")
        return cls(keys, shards, offsets, sizes)

    def row(self, path: str) -> int | None:
        """Where `path` is among the keys."""
        key = hash(path)
        row = int(self.keys.searchsorted(key))
        return row if row < len(self.keys) and self.keys[row] == key else None

    def rows(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
        """Where each of `paths`, which the index names, is among the keys (paths,)."""
        return self.keys.searchsorted(_keys(paths))


def _keys(paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
    # Python's own hash of text is SipHash with a key that is drawn for each process (Aumasson and
    # Bernstein 2012), so that nobody can prepare two paths with one key; by chance two of 10^7 have
    # it in 1 of 400,000 processes.
    return np.fromiter(map(hash, paths), np.int64, len(paths))


class _Shard:
    """An open shard, which is closed when nobody has it any more."""

    def __init__(self, file: Path) -> None:
        self.handle = os.open(file, os.O_RDONLY)
        self.size = os.fstat(self.handle).st_size

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)


class _ShardCache:
    """Open shards: those of a disk as they are, those of a store as copies of which `limit`
    bytes are kept.
    """

    def __init__(self, place: str, limit: int) -> None:
        self._place, self._limit = place, limit
        self._remote = is_address(place)
        name = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._folder = (
            cache_root() / "shards" / f"{name}-{os.getpid()}" if self._remote else Path(place)
        )
        self._open: OrderedDict[int, Future[_Shard]] = OrderedDict()  # by number, last used last
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AHEAD, "bestiary-shards")

    def read(self, number: int, offset: int, size: int) -> bytes:
        """`size` bytes of a shard from `offset` on."""
        shard = self.expect(number).result()
        content = os.pread(shard.handle, size, offset)
        if len(content) != size:
            raise OSError(5, f"{shard_name(number)} is cut short")
        return content

    def expect(self, number: int) -> "Future[_Shard]":
        """A shard that is being opened, or is open."""
        with self._lock:
            if number in self._open:
                self._open.move_to_end(number)
            else:
                self._open[number] = self._pool.submit(self._fetch, number)
            return self._open[number]

    def _fetch(self, number: int) -> _Shard:
        file = self._folder / shard_name(number)
        try:
            if self._remote:
                fetch_file(f"{self._place}/{shard_name(number)}", file)
            shard = _Shard(file)
            if self._remote:
                file.unlink()  # the open file keeps its bytes, and no crash leaves them behind
        except OSError:
            with self._lock:
                self._open.pop(number, None)  # the next to ask tries again
            raise
        self._make_room(number)
        return shard

    def _make_room(self, newest: int) -> None:
        """Close what was used longest ago: copies beyond the limit, and local shards beyond what
        a process may open.
        """
        with self._lock:
            ready = [
                n for n, f in self._open.items() if n != newest and f.done() and not f.exception()
            ]
            sizes = {number: self._open[number].result().size for number in ready}
            used = sum(sizes.values())
            while ready and (used > self._limit if self._remote else len(ready) > 256):
                oldest = ready.pop(0)
                used -= sizes[oldest]
                del self._open[oldest]  # whoever is reading it still has it


def has_index(place: str | Path) -> bool:
    """Whether a folder holds shards with an index."""
    return (folder_at(place) / INDEX).is_file()


@contextmanager
def _index_at(place: str) -> Iterator[pl.LazyFrame]:
    """The index at `place`, whose columns are those of `SCHEMA`, to be read inside of the block.

    Raises:
        DataError: it cannot be read.
    """
    try:
        source = (
            BytesIO((StoredFolder(place) / INDEX).read_bytes())
            if is_address(place)
            else Path(place) / INDEX
        )
        with foreign_table():
            index = pl.scan_parquet(source).select(
                pl.col(name).cast(kind) for name, kind in SCHEMA.items()
            )
            yield index
    except (OSError, TableError) as error:
        raise DataError(
            f"{place}/{INDEX}: cannot be read ({error}); write the shards anew"
        ) from None
