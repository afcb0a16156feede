"""Images of one dataset -> scenes: bursts that one camera took, which stay in one fold.

Frames of a burst are no near duplicates: the subject moves. But they show one subject on one day,
so a fold that trains on one of them has half seen the others. A burst is found by EXIF time, camera
and folder, and by how alike its frames are. Knows nothing of near duplicates.
"""

from pathlib import PurePosixPath
from typing import NamedTuple

import numpy as np
import polars as pl

from bestiary.data.components import components
from bestiary.data.folds import join_groups
from bestiary.data.gray_squares import Gray, correlate, shrink
from bestiary.data.image_info_cache import ImageInfoCache

COARSE_SIDE = 16  # pixels of the squares that are compared
MAX_FRAMES_BEFORE = 3  # that a frame is compared with; two subjects may take turns
MIN_CORRELATION = 0.5  # of two frames; with less, they show two scenes
SCENE_SCHEMA = {"path": pl.String, "scene": pl.String}


class _Frame(NamedTuple):
    """An image with a time; in order, the frames of one camera and folder follow each other."""

    source: tuple[str, str]  # camera and folder
    seconds: float
    path: str
    sha256: str


def find_scenes(table: pl.DataFrame, cache: ImageInfoCache, max_seconds: float) -> pl.DataFrame:
    """Find the bursts among images.

    Args:
        table: Columns path and sha256; `cache` has read all images.
        cache: Knows when each was taken, and its thumb.
        max_seconds: Longest time between two frames; 0: nothing is found.

    Returns:
        Path and scene of every image of a burst, sorted by path. A scene is named after its first
        frame.
    """
    if not max_seconds:
        return pl.DataFrame(schema=SCENE_SCHEMA)
    frames = _frames(table, cache)
    close = _close_frames(frames, max_seconds)
    digests = {frames[index].sha256 for pair in close for index in pair}
    squares = _read_squares(digests, cache)
    alike = []
    for one, other in close:
        square = squares[frames[one].sha256]
        other_square = squares[frames[other].sha256]
        if correlate(square, other_square) >= MIN_CORRELATION:
            alike.append((one, other))

    links = np.array(alike, np.int64).reshape(-1, 2)
    number_of_frame = components(links, len(frames))
    first_path: dict[int, str] = {}
    rows = []
    for index in np.unique(links):
        path = frames[index].path
        rows.append((path, first_path.setdefault(number_of_frame[index], path)))
    return pl.DataFrame(rows, schema=SCENE_SCHEMA, orient="row").sort("path")


def join_scenes(table: pl.DataFrame, scenes: pl.DataFrame) -> pl.DataFrame:
    """Put the images of a scene into one group of the user's, so that they stay in one fold.

    Args:
        table: Columns as of a manifest.
        scenes: As from `find_scenes`.

    Returns:
        The table. An image without a group of the user's has the scene as its group; where a scene
        has images of several groups, they become one.
    """
    if scenes.is_empty():
        return table
    named = table.join(scenes, on="path", how="left", maintain_order="left")
    joined = pl.Series("joined", join_groups(named["group"], named["scene"]))
    named = named.with_columns(joined)
    own_name = pl.col("group").min().over("joined")
    scene_name = pl.col("scene").min().over("joined")
    return named.with_columns(pl.coalesce(own_name, scene_name).alias("group")).select(
        table.columns
    )


def _frames(table: pl.DataFrame, cache: ImageInfoCache) -> list[_Frame]:
    """The images whose time and camera are known, in order."""
    frames = []
    for path, sha256 in table.select("path", "sha256").iter_rows():
        info = cache.info(sha256)
        if info.taken and info.camera:
            folder = str(PurePosixPath(path).parent)
            frames.append(_Frame((info.camera, folder), info.taken, path, sha256))
    return sorted(frames)


def _close_frames(frames: list[_Frame], max_seconds: float) -> list[tuple[int, int]]:
    """The pairs of frames that may show one scene, as indices: each with the few before it."""
    close = []
    for index, frame in enumerate(frames):
        for before in range(max(0, index - MAX_FRAMES_BEFORE), index):
            earlier = frames[before]
            is_close = frame.seconds - earlier.seconds <= max_seconds
            if is_close and frame.source == earlier.source:
                close.append((before, index))
    return close


def _read_squares(digests: set[str], cache: ImageInfoCache) -> dict[str, Gray]:
    """Read the thumbs of images and shrink them, so that what moves a little still correlates."""
    squares = {}
    for segment_digests, thumbs in cache.thumbs(sorted(digests)):
        for digest, thumb in zip(segment_digests, thumbs, strict=True):
            squares[digest] = shrink(thumb, COARSE_SIDE)
    return squares
