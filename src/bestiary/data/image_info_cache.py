"""A disk cache of image infos by SHA-256, so that no image file is decoded a second time.

The cache is a folder of Parquet segments, each written atomically. Unreadable segments are ignored.
Where the folder takes no more, segments go into a temporary one, which this process alone reads.
The results of comparing images are cached there too, by a digest of all that they depend on. Knows
nothing of paths and labels.
"""

import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple, replace
from functools import partial
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import atomic_path
from bestiary.caches import cache_root, ensure_cache, mark_used, not_cached, write_or_spare
from bestiary.cores import cores
from bestiary.data.image_info import THUMB_SIDE, ImageInfo, read_image_infos
from bestiary.details import detail
from bestiary.display import Display, Tick
from bestiary.errors import BestiaryError, DataError
from bestiary.numbers import counted
from bestiary.storage.boxes import Box, BoxFile
from bestiary.storage.files import Readable
from bestiary.tables import TableError, read_frame

Thumbs = NDArray[np.uint8]  # (images, side, side)

VERSION = 6  # raised when decoding or `ImageInfo` changes, so that older segments are not read
MAX_UNUSED_SECONDS = 90 * 86_400  # a segment unused for 90 days is deleted
MAX_RESULTS = 32  # more are deleted; one of 200,000 near duplicates takes about 15 MB
SEGMENT_IMAGES = 512  # images per segment at most, and the most that an interruption loses

SCHEMA = {
    "sha256": pl.String,
    "reason": pl.String,
    "size_bytes": pl.Int64,
    "height": pl.Int32,
    "width": pl.Int32,
    "format": pl.String,
    "mode": pl.String,
    "frames": pl.Int32,
    "pixel_sha256": pl.String,
    "spread": pl.Int32,
    "has_damaged_metadata": pl.Boolean,
    "sample_kind": pl.String,
    "max_value": pl.Float64,
    "taken": pl.Float64,
    "camera": pl.String,
    "zone": pl.String,
    "lat": pl.Float64,
    "lon": pl.Float64,
    "thumb": pl.Binary,
}


def cache_folder() -> Path:
    """The folder of the cache, next to the stores of decoded images."""
    return cache_root() / f"image-info-v{VERSION}"


def open_cache(display: Display) -> "ImageInfoCache":
    """Open the user's cache; where its folder cannot be made, a temporary one is used.

    Args:
        display: Shows a line about it.
    """
    ensure_cache(display.notice)
    return ImageInfoCache(cache_folder(), display.notice)


class ImageInfoCache:
    """Image infos by SHA-256, stored in Parquet segments.

    Args:
        folder: Folder of the segments, see `cache_folder`.
        notice: Shows a line where the folder cannot be written.
    """

    def __init__(self, folder: Path, notice: Callable[[str], object] = detail) -> None:
        self.folder = folder
        self._notice = notice
        self._new_folder = folder  # of new segments; a temporary one once `folder` takes no more
        # Infos in memory have no thumbs, which would fill it.
        self._info_by_sha256: dict[str, ImageInfo] = {}
        self._sha256s_by_segment: dict[Path, set[str]] = {}
        for file in sorted(folder.glob("images-*.parquet")):
            self._load_segment(file)

    @property
    def readable_digests(self) -> set[str]:
        """SHA-256 of each cached image that decodes."""
        digests = set()
        for sha256, info in self._info_by_sha256.items():
            if info.reason is None:
                digests.add(sha256)
        return digests

    def info(self, sha256: str) -> ImageInfo:
        """The info of an image that the cache has, without its thumb."""
        return self._info_by_sha256[sha256]

    def read(self, paths: Sequence[Readable], progress: Tick | None = None) -> list[ImageInfo]:
        """Read the image info of every file, and write those that are new to the cache.

        Args:
            paths: The files.
            progress: Called with the number of files read.

        Returns:
            Infos without thumbs, in the order of `paths`.

        Raises:
            BestiaryError: Neither the cache folder nor a temporary one can be written.
        """
        infos: list[ImageInfo] = []
        read_infos = partial(read_image_infos, cached=self._info_by_sha256)
        n_new = 0
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(paths), SEGMENT_IMAGES):
                batch: list[ImageInfo] = []
                batch_paths = paths[start : start + SEGMENT_IMAGES]
                files, boxes = zip(*_boxes_of_files(batch_paths), strict=True)
                for some in pool.map(read_infos, files, boxes):
                    batch += some
                    if progress:
                        progress(start + len(batch), len(paths))

                new_infos = self._select_new(batch)
                self._write_segment(new_infos)
                n_new += len(new_infos)

                # The cache's own infos have no thumbs, and so take little memory.
                for info in batch:
                    cached_info = self._info_by_sha256.get(info.sha256, info)
                    infos.append(cached_info)
        detail(f"decoded now: {n_new:,} of {counted(len(paths), 'image')}; cache: {self.folder}")
        return infos

    def thumbs(self, digests: Sequence[str]) -> Iterator[tuple[list[str], Thumbs]]:
        """Read the thumbs of images from their segments.

        Args:
            digests: SHA-256 of each image, all of them in the cache.

        Yields:
            For each segment, the SHA-256 of its images and their thumbs, uint8 (images, side,
            side).

        Raises:
            DataError: A segment is damaged.
        """
        remaining = set(digests)
        for file, segment_digests in self._sha256s_by_segment.items():
            in_segment = remaining & segment_digests
            if not in_segment:
                continue
            remaining -= in_segment

            table = self._read_thumb_table(file)
            is_wanted = pl.col("sha256").is_in(list(in_segment))
            table = table.filter(is_wanted)
            content = b"".join(table["thumb"])
            pixels = np.frombuffer(content, np.uint8)
            thumbs = pixels.reshape(-1, THUMB_SIDE, THUMB_SIDE)
            yield table["sha256"].to_list(), thumbs

    def read_result(self, key: str) -> pl.DataFrame | None:
        """Read the table that was written under `key`; None if there is none."""
        file = self._result_file(key)
        try:
            table = read_frame(file)
        except (OSError, TableError):
            return None
        mark_used(file)
        return table

    def write_result(self, key: str, table: pl.DataFrame) -> None:
        """Write a result table, if the cache is writable, and delete the least recently used ones.

        Args:
            key: Hexadecimal digest of all that the table depends on.
            table: The result.
        """
        try:
            _write_table(table, self._result_file(key))
        except BestiaryError as error:
            if self._new_folder == self.folder:  # else the user knows already
                self._notice(not_cached(error))
            return

        files = []
        for file in self.folder.glob("result-*.parquet"):
            with suppress(OSError):  # another process may have deleted it
                last_used = file.stat().st_mtime
                files.append((last_used, file))

        for _, file in sorted(files)[:-MAX_RESULTS]:
            with suppress(OSError):
                file.unlink()

    def _load_segment(self, file: Path) -> None:
        """Add the infos of a segment, or delete it if it was long unused."""
        columns = [name for name in SCHEMA if name != "thumb"]
        try:
            unused_seconds = time.time() - file.stat().st_mtime
            if unused_seconds > MAX_UNUSED_SECONDS:
                file.unlink()
                return
            table = read_frame(file, columns=columns)
        except (OSError, TableError):
            return

        infos = [ImageInfo(*row) for row in table.iter_rows()]
        self._add_infos(file, infos)

    def _read_thumb_table(self, file: Path) -> pl.DataFrame:
        """Read SHA-256 and thumb of every image of a segment."""
        try:
            table = read_frame(file, columns=["sha256", "thumb"])
        except (OSError, TableError) as error:
            raise DataError(f"{file}: a cached table is damaged ({error}); remove it") from None
        mark_used(file)
        return table

    def _add_infos(self, segment: Path, infos: list[ImageInfo]) -> None:
        sha256s = set()
        for info in infos:
            sha256s.add(info.sha256)
            self._info_by_sha256[info.sha256] = info
        self._sha256s_by_segment[segment] = sha256s

    def _select_new(self, infos: list[ImageInfo]) -> list[ImageInfo]:
        """Select the readable files that the cache does not have, each SHA-256 once."""
        new = {}
        for info in infos:
            is_cached = info.sha256 in self._info_by_sha256
            if info.sha256 and not is_cached:
                new[info.sha256] = info
        return list(new.values())

    def _write_segment(self, infos: list[ImageInfo]) -> None:
        """Write infos as a new segment and add them without their thumbs."""
        if not infos:
            return

        name = f"images-{uuid.uuid4().hex}.parquet"
        rows = [astuple(info) for info in infos]
        table = pl.DataFrame(rows, schema=SCHEMA, orient="row")
        write = partial(_write_table, table)
        segment = write_or_spare(self._new_folder / name, write, self._notice)
        self._new_folder = segment.parent

        infos_without_thumbs = [replace(info, thumb=b"") for info in infos]
        self._add_infos(segment, infos_without_thumbs)

    def _result_file(self, key: str) -> Path:
        return self.folder / f"result-{key}.parquet"


def _write_table(table: pl.DataFrame, goal: Path) -> None:
    with atomic_path(goal) as temporary:
        table.write_parquet(temporary)


def _boxes_of_files(paths: Sequence[Readable]) -> list[tuple[Readable, list[Box]]]:
    """Put the boxes that follow each other in one image together; a whole image has none."""
    found: list[tuple[Readable, list[Box]]] = []
    for path in paths:
        if not isinstance(path, BoxFile):
            found.append((path, []))
        elif found and found[-1][1] and found[-1][0] == path.file:
            found[-1][1].append(path.box)
        else:
            found.append((path.file, [path.box]))
    return found
