"""Facts of images, kept on disk by digest, so that a file that was looked at once is not decoded
again.

A cache is a folder of Parquet segments, each whole or absent; a segment that cannot be read is as
good as none. What is found by comparing images is kept there too, by the digest of all their
digests. Knows nothing of paths and labels.
"""

import os
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import astuple
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import atomic_path
from bestiary.caches import cache_root
from bestiary.cores import cores
from bestiary.data.image_info import THUMB, ImageInfo, read_image_info
from bestiary.errors import DataError
from bestiary.storage.files import Readable
from bestiary.tables import TableError, read_frame

Progress = Callable[[int, int], None]  # (done, of)

VERSION = 2  # raised whenever decoding or a fact changes, so that older segments are not read
KEPT_DAYS = 90  # segments that nobody has asked for in so long are swept away
KEPT_RESULTS = (
    32  # results of comparing images, the last used; with 200,000 copies one takes about 15 MB
)
CHUNK = 512  # images a segment at most: what an interruption can cost
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
    "thumb": pl.Binary,
}


def cache_folder() -> Path:
    """Where facts lie: beside the stores of decoded images."""
    return cache_root() / f"image-info-v{VERSION}"


class ImageInfoCache:
    """Facts by digest.

    Args:
        folder: where the segments lie, see `cache_folder`.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._infos: dict[str, ImageInfo] = {}  # without their thumbs, which would fill the memory
        self._segments: dict[str, set[str]] = {}  # file name -> digests
        for file in sorted(folder.glob("*.parquet")):
            self._open(file)

    def _open(self, file: Path) -> None:
        try:
            if time.time() - file.stat().st_mtime > KEPT_DAYS * 86_400:
                file.unlink()
                return
            table = read_frame(file, columns=[name for name in SCHEMA if name != "thumb"])
        except (OSError, TableError):
            return
        self._note(file.name, [ImageInfo(*row) for row in table.iter_rows()])

    def _note(self, name: str, infos: list[ImageInfo]) -> None:
        self._infos.update((info.sha256, info) for info in infos)
        self._segments[name] = {info.sha256 for info in infos}

    @property
    def readable_digests(self) -> set[str]:
        """The digests of the images that decode and whose facts are known."""
        return {sha256 for sha256, info in self._infos.items() if info.reason is None}

    def read(self, paths: Sequence[Readable], progress: Progress | None = None) -> list[ImageInfo]:
        """The facts of every file, without thumbs, in the order of `paths`; what is new is kept.

        Raises:
            BestiaryError: the cache's folder cannot be written.
        """
        found: list[ImageInfo] = []
        with ThreadPoolExecutor(cores()) as pool:
            for start in range(0, len(paths), CHUNK):
                part = []
                for info in pool.map(
                    lambda path: read_image_info(path, self._infos), paths[start : start + CHUNK]
                ):
                    part.append(info)
                    if progress:
                        progress(start + len(part), len(paths))
                new = {
                    info.sha256: info
                    for info in part
                    if info.sha256 and info.sha256 not in self._infos
                }
                self._keep(list(new.values()))
                found += [self._infos.get(info.sha256, info) for info in part]
        return found

    def _keep(self, infos: list[ImageInfo]) -> None:
        if not infos:
            return
        name = f"{uuid.uuid4().hex}.parquet"
        with atomic_path(self.folder / name) as temporary:
            pl.DataFrame(
                [astuple(info) for info in infos], schema=SCHEMA, orient="row"
            ).write_parquet(temporary)
        bare = [ImageInfo(*astuple(info)[:-1]) for info in infos]
        self._note(name, bare)

    def thumbs(self, digests: Sequence[str]) -> Iterator[tuple[list[str], NDArray[np.uint8]]]:
        """The thumbs of the wanted images, segment by segment: their digests and uint8 (images,
        side, side).
        """
        wanted = set(digests)
        for name, readable_digests in self._segments.items():
            here = wanted & readable_digests
            if not here:
                continue
            wanted -= here
            try:
                table = read_frame(self.folder / name, columns=["sha256", "thumb"])
            except (OSError, TableError) as error:
                raise DataError(
                    f"{self.folder / name}: a cached table is damaged ({error}); remove it"
                ) from None
            table = table.filter(pl.col("sha256").is_in(list(here)))
            with suppress(OSError):
                os.utime(self.folder / name)  # marks the segment as used
            content = np.frombuffer(b"".join(table["thumb"]), np.uint8)
            yield table["sha256"].to_list(), content.reshape(-1, THUMB, THUMB)

    def read_result(self, key: str) -> pl.DataFrame | None:
        """What was kept under `key`, or None."""
        file = self.folder / f"result-{key}.parquet"
        try:
            table = read_frame(file)
        except (OSError, TableError):
            return None
        with suppress(OSError):
            os.utime(file)  # marks it as used
        return table

    def keep_result(self, key: str, table: pl.DataFrame) -> None:
        """Keep a table under `key`, a hexadecimal digest of all that it was made from; the
        oldest make room for it.
        """
        with atomic_path(self.folder / f"result-{key}.parquet") as temporary:
            table.write_parquet(temporary)
        kept = []
        for file in self.folder.glob("result-*.parquet"):
            with suppress(OSError):  # another process may have swept it
                kept.append((file.stat().st_mtime, file))
        for _, file in sorted(kept)[:-KEPT_RESULTS]:
            with suppress(OSError):
                file.unlink()
