"""Cache decoded images on disk, so that all folds, epochs and runs decode each image once.

A store is a folder of segments for one short side. A segment is a file of pixels, raw or as JPEG,
and an index (SHA-256, offset, shape, checksum). Both files are complete or absent, so a fill can be
interrupted anywhere. Reads copy from the file, so resident memory stays flat for a store of any
size. An image with a wrong checksum is treated as missing, and the caller decodes the original.
Knows nothing of labels, folds or views.
"""

import os
import shutil
import threading
import uuid
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np
import polars as pl

from bestiary.atomic import atomic_path, remove_leftovers
from bestiary.caches import cache_root, mark_used
from bestiary.cores import cores
from bestiary.data.bit_depth import FULL_RANGE, WhiteLevel
from bestiary.data.decode import Pixels, decode, read_unchanged
from bestiary.data.pixel_formats import pixel_format
from bestiary.data.resize import shrink_to_side, stored_side
from bestiary.details import detail
from bestiary.display import Tick
from bestiary.errors import ImageError
from bestiary.numbers import counted
from bestiary.recipe.choices import StoreFormat
from bestiary.storage.files import Readable
from bestiary.tables import TableError, read_frame

SEGMENT_BYTES = 1 << 28
SEGMENT_IMAGES = 1024
STALE_SECONDS = 86_400.0  # no process still writes a temporary file of this age
SPARE_BYTES = 2 << 30  # disk space that a fill leaves free for everything else
# Raise it whenever decoding or shrinking changes a pixel, so that older stores are not read.
STORE_VERSION = 3
INDEX = {
    "sha256": pl.String,
    "offset": pl.Int64,
    "height": pl.Int32,
    "width": pl.Int32,
    "checksum": pl.UInt32,
}
N_BYTES = {"n_bytes": pl.Int64}  # of an image; a column where its shape does not say them


class _Entry(NamedTuple):
    """Where an image's pixels are."""

    handle: int  # open file descriptor of the segment
    offset: int
    height: int
    width: int
    checksum: int
    n_bytes: int


class _MissingImage(NamedTuple):
    """An image that the store lacks."""

    digest: str
    path: Readable
    n_bytes: int  # at most, once decoded and shrunk


class _EncodedImage(NamedTuple):
    """An image as the store writes it."""

    digest: str
    height: int
    width: int
    content: bytes


def default_folder() -> Path:
    """Return the folder of all stores, in the user's cache."""
    return cache_root() / "store"


def load_shrunk(path: Readable, digest: str, side: int, white: WhiteLevel = FULL_RANGE) -> Pixels:
    """Decode an image and shrink its short side to `side` pixels, as a store does.

    Args:
        path: the image file.
        digest: SHA-256 of the file as the manifest has it, hexadecimal.
        side: short side in pixels that a larger image is shrunk to.
        white: value of white in images of more than 8 bits that do not state it.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: the file cannot be read or decoded, or has changed.
    """
    content = read_unchanged(path, digest)
    pixels = decode(content, min_side=2 * side, white=white)
    return shrink_to_side(pixels, side)


class ImageStore:
    """Decoded images of one short side, by SHA-256.

    Args:
        folder: the folder of the stores of all sizes, see `default_folder`.
        side: short side in pixels that larger images are shrunk to.
        white: value of white in images of more than 8 bits that do not state it.
        storing: as raw pixels or as JPEG.
    """

    def __init__(
        self,
        folder: Path,
        side: int,
        white: WhiteLevel = FULL_RANGE,
        storing: StoreFormat = "raw",
    ) -> None:
        self.side = side
        self.white = white
        self.format = pixel_format(storing)
        self._index = INDEX if storing == "raw" else INDEX | N_BYTES
        depth = "" if white == FULL_RANGE else f"-white-{white.integers:g}-{white.floats:g}"
        kind = "" if storing == "raw" else f"-{storing}"
        self.folder = folder / f"side-{side}{depth}{kind}-v{STORE_VERSION}"
        self._entries: dict[str, _Entry] = {}
        self._handles: list[int] = []
        self._verified: set[str] = set()
        self._lock = threading.Lock()

        if self.folder.is_dir():
            indices = self.folder.glob("*.parquet")
            for index in sorted(indices):
                self._open_segment(index)

    def __contains__(self, digest: str) -> bool:
        return digest in self._entries

    def close(self) -> None:
        """Close the open segments."""
        while self._handles:
            handle = self._handles.pop()
            os.close(handle)
        self._entries.clear()

    def get(self, digest: str) -> Pixels | None:
        """Read the pixels of an image.

        Args:
            digest: SHA-256 of the image file.

        Returns:
            uint8 array (height, width, 3), or None where the image is not stored or is damaged.
        """
        entry = self._entries.get(digest)
        if entry is None:
            return None

        content = np.empty(entry.n_bytes, np.uint8)
        n_read = self._read(entry, content.data)

        # Verify the checksum at the first read alone.
        is_verified = digest in self._verified
        if is_verified or (n_read == len(content) and zlib.crc32(content.data) == entry.checksum):
            self._verified.add(digest)
            with suppress(ValueError):
                return self.format.decode(content, entry.height, entry.width)
        with self._lock:
            self._entries.pop(digest, None)
        return None

    def _read(self, entry: _Entry, buffer: memoryview) -> int:
        """Fill `buffer` from the entry's offset on. Return the number of bytes read."""
        if hasattr(os, "preadv"):
            return os.preadv(entry.handle, [buffer], entry.offset)
        # Windows has no positional read, and all threads share the position of the handle.
        with self._lock:
            os.lseek(entry.handle, entry.offset, os.SEEK_SET)
            content = os.read(entry.handle, len(buffer))
        n_read = len(content)
        buffer[:n_read] = content
        return n_read

    def fill(
        self,
        images: Sequence[tuple[str, Readable]],
        sizes: Sequence[tuple[int, int]],
        limit_bytes: int,
        progress: Tick | None = None,
    ) -> str | None:
        """Decode and store the images that are not stored yet.

        Args:
            images: SHA-256 and path of each image.
            sizes: height and width of each image, from which the disk space is computed first.
            limit_bytes: the most bytes of all segments of this side together.
            progress: called with the number of images done and the number that were missing.

        Returns:
            None, or the reason why nothing, or not all, was stored: not enough disk space.
        """
        missing = self._missing_images(images, sizes)
        detail(
            f"to decode: {len(missing):,} of {counted(len(images), 'image')}; cache: {self.folder}"
        )
        if not missing:
            return None

        # Make room for all of them first, or store none.
        n_bytes = sum(image.n_bytes for image in missing)
        needed_digests = {digest for digest, _ in images}
        reason = self._make_room(n_bytes, limit_bytes, needed_digests)
        if reason:
            return reason

        # Decode one segment at a time, on all cores.
        n_done = 0
        n_written = 0
        with ThreadPoolExecutor(cores()) as pool:
            for batch in self._batches(missing):
                loaded = pool.map(self._load, batch)
                readable = [image for image in loaded if image is not None]
                n_written += self._write_segment(readable)
                if n_written > n_bytes:  # JPEGs of noise
                    return f"they take more than the {n_bytes / 1e9:.1f} GB that were expected"
                n_done += len(batch)
                if progress:
                    progress(n_done, len(missing))
        return None

    def _missing_images(
        self,
        images: Sequence[tuple[str, Readable]],
        sizes: Sequence[tuple[int, int]],
    ) -> list[_MissingImage]:
        """List the images that the store lacks, each digest once."""
        missing = {}
        for (digest, path), (height, width) in zip(images, sizes, strict=True):
            if digest in self._entries:
                continue
            n_bytes = self._stored_bytes(height, width)
            missing[digest] = _MissingImage(digest, path, n_bytes)
        return list(missing.values())

    def _load(self, image: _MissingImage) -> _EncodedImage | None:
        try:
            pixels = load_shrunk(image.path, image.digest, self.side, self.white)
        except ImageError:
            return None  # gone or changed since the scan; training reports it
        height, width = pixels.shape[:2]
        return _EncodedImage(image.digest, height, width, self.format.encode(pixels))

    def _stored_bytes(self, height: int, width: int) -> int:
        """Compute how many bytes an image takes at most once it is decoded and shrunk."""
        short = min(height, width)
        shrink = stored_side(short, self.side) / short
        stored_height = round(height * shrink)
        stored_width = round(width * shrink)
        return self.format.max_bytes(stored_height * stored_width)

    def _batches(self, missing: list[_MissingImage]) -> Iterator[list[_MissingImage]]:
        """Group the images into segments."""
        batch: list[_MissingImage] = []
        n_bytes = 0
        for image in missing:
            batch.append(image)
            n_bytes += image.n_bytes
            if n_bytes >= SEGMENT_BYTES or len(batch) >= SEGMENT_IMAGES:
                yield batch
                batch = []
                n_bytes = 0
        if batch:
            yield batch

    def _write_segment(self, images: Sequence[_EncodedImage]) -> int:
        """Write a segment; return its bytes."""
        if not images:
            return 0
        name = uuid.uuid4().hex
        segment = self.folder / f"{name}.pixels"
        index = self.folder / f"{name}.parquet"

        rows = []
        offset = 0
        with atomic_path(segment) as temporary, temporary.open("wb") as file:
            for digest, height, width, content in images:
                file.write(content)
                checksum = zlib.crc32(content)
                n_bytes = len(content)
                row = (digest, offset, height, width, checksum, n_bytes)
                rows.append(row[: len(self._index)])
                offset += n_bytes

        # The index comes last. Pixels without an index are never read, and are removed with the
        # oldest segments.
        table = pl.DataFrame(rows, schema=self._index, orient="row")
        with atomic_path(index) as temporary:
            table.write_parquet(temporary)
        self._open_segment(index)
        return offset

    def _open_segment(self, index: Path) -> None:
        """Open a segment and add its images. Ignore it where it is damaged or half removed."""
        segment = index.with_suffix(".pixels")
        flags = os.O_RDONLY | getattr(os, "O_BINARY", 0)
        try:
            table = read_frame(index, columns=list(self._index))
            handle = os.open(segment, flags)
        except (OSError, TableError):
            return
        self._handles.append(handle)

        mark_used(index)  # see _make_room
        for digest, offset, height, width, checksum, *given in table.iter_rows():
            (n_bytes,) = given or (3 * height * width,)
            self._entries[digest] = _Entry(handle, offset, height, width, checksum, n_bytes)

    def _make_room(self, n_bytes: int, limit: int, needed_digests: set[str]) -> str | None:
        """Remove the least recently used segments without needed images.

        Return why that is not enough, or None.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        remove_leftovers(self.folder, STALE_SECONDS)
        free = shutil.disk_usage(self.folder).free - SPARE_BYTES
        segments = self.folder.glob("*.pixels")
        oldest_first = sorted(segments, key=_last_use)
        sizes = {segment: segment.stat().st_size for segment in oldest_first}
        used = sum(sizes.values())

        for segment in oldest_first:
            if n_bytes <= free and used + n_bytes <= limit:
                break
            if _contains_any(segment, needed_digests):
                continue
            segment.with_suffix(".parquet").unlink(missing_ok=True)
            segment.unlink(missing_ok=True)
            used -= sizes[segment]
            free += sizes[segment]

        # Explain what is still missing.
        needed = f"{n_bytes / 1e9:.1f} GB"
        if used + n_bytes > limit:
            limit_gb = f"{limit / 1e9:.1f} GB"
            return f"{needed} would pass the limit of {limit_gb} (data.store_limit_gb)"
        if n_bytes > free:
            free_gb = f"{max(free, 0) / 1e9:.1f} GB"
            return f"{needed} are needed and {free_gb} are free in {self.folder}"
        return None


def _contains_any(segment: Path, digests: set[str]) -> bool:
    """Return whether a segment has any of these images. A damaged one has none."""
    index = segment.with_suffix(".parquet")
    try:
        table = read_frame(index, columns=["sha256"])
    except (OSError, TableError):
        return False
    return any(digest in digests for digest in table["sha256"])


def _last_use(segment: Path) -> float:
    """Return the time at which a store last opened the segment, 0 for one without an index."""
    index = segment.with_suffix(".parquet")
    if not index.exists():
        return 0.0
    return index.stat().st_mtime
