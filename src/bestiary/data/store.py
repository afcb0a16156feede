"""Decoded images kept on disk, so that each JPEG is decoded once for all folds, epochs and runs.

A store is a folder of segments for one short side. A segment is a file of raw RGB pixels and an
index (digest, place, shape, checksum), both whole or absent, so that filling can be interrupted
anywhere. Reading copies from the file, which keeps resident memory flat whatever the store's size.
An image whose checksum does not hold is not believed: the caller decodes the original. Knows
nothing of labels, folds or views.
"""

import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from bestiary.atomic import atomic_path, sweep
from bestiary.caches import cache_root
from bestiary.cores import cores
from bestiary.data.decode import Pixels, decode, read_image
from bestiary.data.views import shrink_to_side, side_kept
from bestiary.errors import ImageError
from bestiary.storage.files import Readable
from bestiary.tables import TableError, read_frame

SEGMENT_BYTES = 1 << 28
DAY = 86_400.0  # seconds after which nobody writes a temporary file any more
SPARE_BYTES = 2 << 30  # disk that filling leaves free for everything else
DECODER = (
    3  # raised whenever decoding or shrinking changes a pixel, so that older stores are not read
)
INDEX = {
    "sha256": pl.String,
    "offset": pl.Int64,
    "height": pl.Int32,
    "width": pl.Int32,
    "checksum": pl.UInt32,
}


class _Place(NamedTuple):
    handle: int  # open file descriptor of the segment
    offset: int
    height: int
    width: int
    checksum: int


def default_folder() -> Path:
    """Where stores lie."""
    return cache_root() / "store"


def load_shrunk(path: Readable, side: int) -> Pixels:
    """Decode the image at `path`, its short side shrunk to `side` pixels: what a store keeps of it.

    Raises:
        ImageError: the file cannot be read or decoded.
    """
    return shrink_to_side(decode(read_image(path), min_side=2 * side), side)


class ImageStore:
    """Decoded images of one short side, by digest.

    Args:
        folder: where stores of all sizes lie, see `default_folder`.
        side: short side in pixels that larger images are shrunk to.
    """

    def __init__(self, folder: Path, side: int) -> None:
        self.side = side
        self.folder = folder / f"side-{side}-v{DECODER}"
        self._places: dict[str, _Place] = {}
        self._handles: list[int] = []
        self._checked: set[str] = set()
        self._lock = threading.Lock()
        if self.folder.is_dir():
            for index in sorted(self.folder.glob("*.parquet")):
                self._open_segment(index)

    def __contains__(self, digest: str) -> bool:
        return digest in self._places

    def close(self) -> None:
        """Give the open files back."""
        while self._handles:
            os.close(self._handles.pop())
        self._places.clear()

    def get(self, digest: str) -> Pixels | None:
        """The pixels (height, width, 3) of an image, or None where it is not kept or what is
        kept is damaged.
        """
        place = self._places.get(digest)
        if place is None:
            return None
        pixels = np.empty((place.height, place.width, 3), np.uint8)
        count = self._read(place, pixels.data.cast("B"))
        if digest not in self._checked:
            if count != pixels.size or zlib.crc32(pixels.data) != place.checksum:
                with self._lock:
                    self._places.pop(digest, None)
                return None
            self._checked.add(digest)
        return pixels

    def _read(self, place: "_Place", into: memoryview) -> int:
        if hasattr(os, "preadv"):
            return os.preadv(place.handle, [into], place.offset)
        with (
            self._lock
        ):  # Windows has no reading at a place: the handle's own place is shared by all threads
            os.lseek(place.handle, place.offset, os.SEEK_SET)
            content = os.read(place.handle, len(into))
        into[: len(content)] = content
        return len(content)

    def fill(
        self,
        images: Sequence[tuple[str, Readable]],
        sizes: Sequence[tuple[int, int]],
        limit_bytes: int,
        progress: Callable[[int, int], None] | None = None,
    ) -> str | None:
        """Decode and keep the images that are not kept yet.

        Args:
            images: digest and path of each.
            sizes: height and width of each, to know beforehand what disk is needed.
            limit_bytes: what all segments of this size may take together.
            progress: told how many of the missing images are done.

        Returns:
            None, or the reason why nothing was kept: not enough disk.
        """
        missing = {
            d: (p, s) for (d, p), s in zip(images, sizes, strict=True) if d not in self._places
        }
        if not missing:
            return None
        needed = sum(self._stored_bytes(*size) for _, size in missing.values())
        reason = self._make_room(needed, limit_bytes, {digest for digest, _ in images})
        if reason:
            return reason
        done, total = 0, len(missing)
        with ThreadPoolExecutor(cores()) as pool:
            for batch in self._batches(missing):
                decoded = pool.map(lambda item: (item[0], self._load(item[1])), batch)
                self._write_segment(
                    [(digest, pixels) for digest, pixels in decoded if pixels is not None]
                )
                done += len(batch)
                if progress:
                    progress(done, total)
        return None

    def _load(self, path: Readable) -> Pixels | None:
        try:
            return load_shrunk(path, self.side)
        except ImageError:
            return None  # gone or changed since the manifest; training will meet it and say so

    def _stored_bytes(self, height: int, width: int) -> int:
        shrink = side_kept(min(height, width), self.side) / min(height, width)
        return round(height * shrink) * round(width * shrink) * 3

    def _batches(
        self, missing: dict[str, tuple[Readable, tuple[int, int]]]
    ) -> Iterator[list[tuple[str, Readable]]]:
        batch, size = [], 0
        for digest, (path, shape) in missing.items():
            batch.append((digest, path))
            size += self._stored_bytes(*shape)
            if size >= SEGMENT_BYTES or len(batch) >= 1024:
                yield batch
                batch, size = [], 0
        if batch:
            yield batch

    def _write_segment(self, images: list[tuple[str, Pixels]]) -> None:
        if not images:
            return
        name = uuid.uuid4().hex
        rows, offset = [], 0
        with atomic_path(self.folder / f"{name}.pixels") as temporary, temporary.open("wb") as file:
            for digest, pixels in images:
                content = pixels.tobytes()
                file.write(content)
                rows.append((digest, offset, *pixels.shape[:2], zlib.crc32(content)))
                offset += len(content)
        # The index comes last: pixels without one are never read, and are swept away with the
        # oldest segments.
        index = self.folder / f"{name}.parquet"
        with atomic_path(index) as temporary:
            pl.DataFrame(rows, schema=INDEX, orient="row").write_parquet(temporary)
        self._open_segment(index)

    def _open_segment(self, index: Path) -> None:
        try:
            table = read_frame(index, columns=list(INDEX))
            handle = os.open(index.with_suffix(".pixels"), os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except (OSError, TableError):
            return  # a damaged or half-removed segment is as good as none
        self._handles.append(handle)
        with suppress(OSError):  # a store may be shared and read-only
            os.utime(index)  # marks the segment as used, see _make_room
        for digest, offset, height, width, checksum in table.iter_rows():
            self._places[digest] = _Place(handle, offset, height, width, checksum)

    def _make_room(self, needed: int, limit: int, wanted: set[str]) -> str | None:
        """Remove the segments used longest ago that hold nothing wanted; say why if that is not
        enough.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        sweep(self.folder, DAY)
        free = shutil.disk_usage(self.folder).free - SPARE_BYTES
        segments = sorted(
            self.folder.glob("*.pixels"), key=lambda p: _modified(p.with_suffix(".parquet"))
        )
        sizes = {segment: segment.stat().st_size for segment in segments}
        used = sum(sizes.values())
        for segment in segments:
            if needed <= free and used + needed <= limit:
                break
            if self._holds_any(segment, wanted):
                continue
            segment.with_suffix(".parquet").unlink(missing_ok=True)
            segment.unlink(missing_ok=True)
            used, free = used - sizes[segment], free + sizes[segment]
        if used + needed > limit:
            return f"{needed / 1e9:.1f} GB would pass the limit of {limit / 1e9:.1f} GB (data.store_limit_gb)"
        if needed > free:
            return f"{needed / 1e9:.1f} GB are needed and {max(free, 0) / 1e9:.1f} GB are free in {self.folder}"
        return None

    def _holds_any(self, segment: Path, wanted: set[str]) -> bool:
        try:
            held = read_frame(segment.with_suffix(".parquet"), columns=["sha256"])["sha256"]
        except (OSError, TableError):
            return False
        return any(digest in wanted for digest in held)


def _modified(path: Path) -> float:
    return path.stat().st_mtime if path.exists() else 0.0
