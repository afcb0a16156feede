"""A manifest's table -> the same table with duplicate groups and label conflicts filled in.

Near duplicates are images with the same bytes, the same pixels or proved to be one photograph. Near
duplicates with different labels are in conflict. Knows nothing of splits and folds.
"""

import hashlib
from collections.abc import Sequence
from itertools import compress

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import read_unchanged
from bestiary.data.image_info import THUMB_SIDE
from bestiary.data.image_info_cache import ImageInfoCache
from bestiary.data.near_duplicates.candidates import candidate_pairs
from bestiary.data.near_duplicates.comparison import (
    Comparison,
    Squares,
    compare_pairs,
    screen_pairs,
    select_most_promising,
)
from bestiary.data.near_duplicates.hashes import Hashes, hash_thumbs
from bestiary.data.near_duplicates.linkage import Ends, Verdict, ends, join_proved
from bestiary.data.near_duplicates.moments import Moments
from bestiary.data.near_duplicates.views import N_VIEWS
from bestiary.data.quality_warnings import BLANK_MAX_SPREAD
from bestiary.details import detail
from bestiary.display import Display
from bestiary.numbers import counted
from bestiary.storage.files import Readable, Root

METHOD_VERSION = 3  # raised when the method changes, so that older results are not used
MAP_COLUMNS = ("xx", "xy", "x", "yx", "yy", "y")
PAIR_SCHEMA = {
    "sha256": pl.String,
    "duplicate_sha256": pl.String,
    "probability": pl.Float64,  # that the two are near duplicates
    "is_proved": pl.Boolean,
    "detail": pl.Float64,  # correlation of the fine detail, -1 to 1
    "gain": pl.Float64,  # contrast of the duplicate, over that of the image
    "offset": pl.Float64,  # brightness of the duplicate less that of the image, in levels
    **dict.fromkeys(MAP_COLUMNS, pl.Float64),  # from the duplicate's unit square to the image's
}

Part = tuple[Root, pl.DataFrame]
"""A folder and the rows of a manifest whose paths start from it."""


def find_near_duplicates(
    parts: Sequence[Part], cache: ImageInfoCache, display: Display
) -> pl.DataFrame:
    """Compare the images of manifests.

    The result is cached, so the same images are compared once. Two frames that one site's camera
    took at different times are not compared: they share a background, and are no near duplicates.

    Args:
        parts: The images; `cache` has read all of them.
        cache: Gives the thumbs and stores the result.
        display: Shows the progress.

    Returns:
        The pairs that were compared on real pixels, columns as in `PAIR_SCHEMA`.
    """
    # Images with the same pixels are compared once, under the first of their SHA-256s.
    columns = ["sha256", "pixel_sha256"]
    rows = pl.concat([table.select(columns) for _, table in parts])
    first_digest = pl.col("sha256").min()
    digests = rows.group_by("pixel_sha256").agg(first_digest)["sha256"].sort()

    moments = Moments.of([table for _, table in parts])
    content = f"near duplicates {METHOD_VERSION} {','.join(digests)}{moments}"
    key = hashlib.sha256(content.encode()).hexdigest()
    cached = cache.read_result(key)
    if cached is not None:
        detail("near duplicates: from the cache, as these images were compared before")
        return cached

    compared, comparisons, n_unread = _compare_images(
        digests.to_list(), parts, moments, cache, display
    )
    table = _pair_table(compared, comparisons)
    if n_unread:
        display.notice(
            f"{counted(n_unread, 'image was', 'images were')} not compared with others: the files "
            "are gone from the data folder, or have changed meanwhile"
        )
        return table
    cache.write_result(key, table)
    return table


def mark_near_duplicates(
    table: pl.DataFrame, pairs: pl.DataFrame, denied: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Fill in the columns duplicate_group and label_conflict.

    Args:
        table: Columns as of a manifest.
        pairs: Compared pairs as from `find_near_duplicates`.
        denied: Pairs of paths that a person says are no near duplicates, columns path and other;
            None: there are none.

    Returns:
        The table. A group is named after the first path in it.
    """
    group = pl.Series("duplicate_group", _group_numbers(table, pairs, denied))
    marked = table.with_columns(group)

    has_partner = pl.len().over("duplicate_group") > 1
    first_path = pl.col("path").min().over("duplicate_group")
    no_name = pl.lit(None, pl.String)
    group_name = pl.when(has_partner).then(first_path).otherwise(no_name)

    labels = pl.col("label").drop_nulls()
    n_labels = labels.n_unique().over("duplicate_group")
    marked = marked.with_columns(
        group_name.alias("duplicate_group"),
        (n_labels > 1).alias("label_conflict"),
    )
    return marked.select(table.columns)


def _group_numbers(
    table: pl.DataFrame, pairs: pl.DataFrame, denied: pl.DataFrame | None
) -> NDArray[np.int64]:
    """Number the groups of the images (images,) that proofs, bytes or pixels join."""
    # One number for all images with the same pixels
    by_pixels = table["pixel_sha256"].rank("dense").cast(pl.Int64) - 1
    number_of = dict(zip(table["sha256"], by_pixels, strict=True))
    group_of = np.arange(by_pixels.n_unique())
    for members in join_proved(
        _read_verdicts(pairs, number_of), _denied_ends(table, denied, by_pixels)
    ):
        group_of[members] = members[0]
    return np.asarray(group_of[by_pixels.to_numpy()], np.int64)


def _read_verdicts(pairs: pl.DataFrame, number_of: dict[str, int]) -> list[Verdict]:
    tested = []
    columns = ["sha256", "duplicate_sha256", "probability", "is_proved"]
    for one, other, probability, is_proved in pairs.select(columns).iter_rows():
        if one in number_of and other in number_of:
            tested.append(Verdict(ends(number_of[one], number_of[other]), probability, is_proved))
    return tested


def _denied_ends(
    table: pl.DataFrame, denied: pl.DataFrame | None, by_pixels: pl.Series
) -> frozenset[Ends]:
    if denied is None:
        return frozenset()
    number_of_path = dict(zip(table["path"], by_pixels, strict=True))
    return frozenset(
        ends(number_of_path[one], number_of_path[other])
        for one, other in denied.select("path", "other").iter_rows()
        if one in number_of_path and other in number_of_path
    )


def _compare_images(
    digests: list[str],
    parts: Sequence[Part],
    moments: Moments,
    cache: ImageInfoCache,
    display: Display,
) -> tuple[list[str], list[Comparison], int]:
    """Compare images: the digests of those with content, the compared pairs, the files gone."""
    digests, hashes = _hash_images(digests, cache)
    pairs = candidate_pairs(hashes)
    pairs = pairs[~moments.differ(digests, pairs)]

    # Memory holds only the thumbs of candidates: only these are compared in detail.
    candidates = np.unique(pairs[:, :2])
    thumbs = _read_thumbs([digests[image] for image in candidates], cache)
    thumb_of_image = np.zeros(len(digests), np.int64)
    thumb_of_image[candidates] = np.arange(len(candidates))
    with display.counter("Comparing near-duplicate candidates") as tick:
        screened = screen_pairs(pairs, thumbs, thumb_of_image, tick)
    promising = select_most_promising(screened)

    wanted = {digests[image] for pair in promising for image in (pair.image, pair.partner)}
    files = _find_files(parts, wanted)
    squares = Squares(lambda image: read_unchanged(files[digests[image]], digests[image]))
    with display.counter("Proving near duplicates") as tick:
        comparisons = compare_pairs(promising, len(digests), squares, tick)
    return digests, comparisons, len(squares.unread)


def _find_files(parts: Sequence[Part], digests: set[str]) -> dict[str, Readable]:
    """The file of each digest; where several have its bytes, the last one."""
    files: dict[str, Readable] = {}
    is_wanted = pl.col("sha256").is_in(list(digests))
    for root, table in parts:
        for digest, path in table.filter(is_wanted).select("sha256", "path").iter_rows():
            files[digest] = root / path
    return files


def _pair_table(digests: list[str], comparisons: list[Comparison]) -> pl.DataFrame:
    rows = []
    for comparison in comparisons:
        proof = comparison.proof
        rows.append(
            (
                digests[comparison.image],
                digests[comparison.partner],
                proof.probability,
                comparison.verdict.is_proved,
                proof.evidence.detail,
                proof.evidence.gain,
                proof.evidence.offset,
                *comparison.affine.ravel().tolist(),
            )
        )
    rows.sort()
    return pl.DataFrame(rows, schema=PAIR_SCHEMA, orient="row")


def _hash_images(wanted: list[str], cache: ImageInfoCache) -> tuple[list[str], Hashes]:
    """Hash the images that are not blank: their digests, sorted, and hashes (images, views)."""
    digests: list[str] = []
    hashes = [np.empty((0, N_VIEWS), np.uint64)]
    for segment_digests, thumbs in cache.thumbs(wanted):
        gray_levels = thumbs.reshape(len(thumbs), -1)
        has_content = np.ptp(gray_levels, axis=1) > BLANK_MAX_SPREAD
        hashes.append(hash_thumbs(thumbs[has_content]))
        digests += compress(segment_digests, has_content)

    order = np.argsort(np.array(digests, dtype="U64"))
    sorted_digests = [digests[index] for index in order]
    return sorted_digests, np.concatenate(hashes)[order]


def _read_thumbs(digests: list[str], cache: ImageInfoCache) -> NDArray[np.uint8]:
    """Read the thumbs of images, in the order of `digests`, (images, side, side)."""
    index_of = {digest: index for index, digest in enumerate(digests)}
    thumbs = np.empty((len(digests), THUMB_SIDE, THUMB_SIDE), np.uint8)
    for segment_digests, segment_thumbs in cache.thumbs(digests):
        indices = [index_of[digest] for digest in segment_digests]
        thumbs[indices] = segment_thumbs
    return thumbs
