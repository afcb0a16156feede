"""Tar shards in WebDataset's layout and their index -> the bytes of each picture, by its path.

A shard holds for each picture its file and a .json with path, label, group and split, under one key, as WebDataset
readers expect (Aizman et al. 2019, arXiv:2001.01858); index.parquet beside the shards says where in which shard each
picture's bytes begin. Shards in a store are fetched whole, one after the other, into a local cache with a bound;
pictures are then read at their place, so memory does not grow with their number. Knows nothing of what is read when:
whoever reads in `reading_order` reads each shard once.
"""

import hashlib
import os
import threading
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.caches import cache_root
from bestiary.errors import DataError
from bestiary.storage.files import StoredFolder, fetch_file, folder_at, is_address, location
from bestiary.tables import TableError, foreign_table, read_frame

INDEX = "index.parquet"
SCHEMA = {
    "path": pl.String,  # as below the folder that was sharded
    "label": pl.String,
    "group": pl.String,
    "split": pl.String,
    "shard": pl.Int32,
    "offset": pl.Int64,  # of the picture's first byte in its shard
    "bytes": pl.Int64,
}
CACHE_BYTES = int(float(os.environ.get("BESTIARY_SHARD_CACHE_GB", "20")) * 1e9)  # of fetched shards on this disk
AHEAD = 2  # shards fetched before they are asked for


def shard_name(number: int) -> str:
    """The file name of a shard."""
    return f"shard-{number:06d}.tar"


@dataclass(frozen=True, slots=True)
class ShardedFile:
    """A picture in a shard."""

    folder: "ShardFolder"
    path: str

    def __str__(self) -> str:
        return f"{self.folder}/{self.path}"

    def read_bytes(self) -> bytes:
        """The picture's bytes; raises OSError."""
        return self.folder.read(self.path)

    def is_file(self) -> bool:
        """Whether the index names it."""
        return self.folder.row(self.path) is not None


class ShardFolder:
    """The pictures in a folder of shards, which lies on a disk or in a store.

    Args:
        place: path or address of the folder.
        cache_bytes: of shards fetched from a store that are kept; the one used longest ago goes first.

    Attributes:
        paths: of all pictures, sorted; labels and groups are read when the folder is listed, and not kept.

    Raises:
        DataError: the index cannot be read.
    """

    def __init__(self, place: str | Path, cache_bytes: int = CACHE_BYTES) -> None:
        self.place = location(place)
        places = _read_index(self.place, ["path", "shard", "offset", "bytes"])
        self.paths = places["path"]
        self._shards, self._offsets, self._sizes = places["shard"], places["offset"], places["bytes"]
        self._cache = _ShardCache(self.place, cache_bytes)
        self._following: dict[int, list[int]] = {}

    def __str__(self) -> str:
        return self.place

    def __truediv__(self, path: str, /) -> ShardedFile:
        return ShardedFile(self, path)

    def list_pictures(self) -> pl.DataFrame:
        """The index, with the columns of `SCHEMA`, sorted by path.

        Raises:
            DataError: it cannot be read.
        """
        return _read_index(self.place, list(SCHEMA))

    def resolve(self) -> "ShardFolder":
        """The folder itself."""
        return self

    def is_dir(self) -> bool:
        """The index has been read, so it is there."""
        return True

    def row(self, path: str) -> int | None:
        """Where the index has `path`."""
        # Series.search_sorted takes 60 to 200 microseconds for one path, under Python's lock; this takes 2 to 4.
        place = bisect_left(self.paths, path)
        return place if place < len(self.paths) and self.paths[place] == path else None

    def read(self, path: str) -> bytes:
        """The bytes of the picture at `path`.

        Raises:
            OSError: the index does not name it, or its shard cannot be read.
        """
        row = self.row(path)
        if row is None:
            raise FileNotFoundError(2, "not in index.parquet")
        number = self._shards[row]
        content = self._cache.read(number, self._offsets[row], self._sizes[row])
        for coming in self._following.get(number, ()):
            self._cache.expect(coming)
        return content

    def shards_of(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int32]:
        """The number of each path's shard (paths,)."""
        return self._shards[self._rows(paths)].to_numpy()

    def reading_order(self, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
        """The order (paths,) in which each shard is read once, from its beginning to its end."""
        rows = self._rows(paths)
        return np.lexsort((self._offsets[rows].to_numpy(), self._shards[rows].to_numpy())).astype(np.int64)

    def will_read(self, shards: NDArray[np.int32]) -> None:
        """Be told the order in which shards will be wanted, so that they are fetched ahead."""
        order = pl.Series(shards).unique(maintain_order=True).to_list()
        self._following = {shard: order[place + 1 : place + 1 + AHEAD] for place, shard in enumerate(order)}

    def _rows(self, paths: Sequence[str] | pl.Series) -> pl.Series:
        return self.paths.search_sorted(pl.Series(paths, dtype=pl.String))


class _Shard:
    """An open shard, which is closed when nobody has it any more."""

    def __init__(self, file: Path) -> None:
        self.handle = os.open(file, os.O_RDONLY)
        self.size = os.fstat(self.handle).st_size

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            os.close(self.handle)


class _ShardCache:
    """Open shards: those of a disk as they are, those of a store as copies of which `limit` bytes are kept."""

    def __init__(self, place: str, limit: int) -> None:
        self._place, self._limit = place, limit
        self._remote = is_address(place)
        name = hashlib.sha256(place.encode()).hexdigest()[:16]
        self._folder = cache_root() / "shards" / f"{name}-{os.getpid()}" if self._remote else Path(place)
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
        """Close what was used longest ago: copies beyond the limit, and local shards beyond what a process may open."""
        with self._lock:
            ready = [n for n, f in self._open.items() if n != newest and f.done() and not f.exception()]
            sizes = {number: self._open[number].result().size for number in ready}
            used = sum(sizes.values())
            while ready and (used > self._limit if self._remote else len(ready) > 256):
                oldest = ready.pop(0)
                used -= sizes[oldest]
                del self._open[oldest]  # whoever is reading it still has it


def has_index(place: str | Path) -> bool:
    """Whether a folder holds shards with an index."""
    return (folder_at(place) / INDEX).is_file()


def _read_index(place: str, columns: list[str]) -> pl.DataFrame:
    try:
        if is_address(place):
            content = BytesIO((StoredFolder(place) / INDEX).read_bytes())
            with foreign_table():
                table = pl.read_parquet(content, columns=columns)
        else:
            table = read_frame(Path(place) / INDEX, columns=columns)
        with foreign_table():
            table = table.select(pl.col(name).cast(SCHEMA[name]) for name in columns)
    except (OSError, TableError) as error:
        raise DataError(f"{place}/{INDEX}: cannot be read ({error}); write the shards anew") from None
    if table.select("path", "shard", "offset", "bytes").null_count().sum_horizontal().sum():
        raise DataError(f"{place}/{INDEX}: has gaps; write the shards anew")
    return table if table["path"].is_sorted() else table.sort("path")  # a copy would double what an index takes
