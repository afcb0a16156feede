"""A manifest's table -> the same with copies and conflicts marked.

Copies are images with the same bytes, the same pixels, or, once aligned, the same details. Copies
with different labels are in conflict. Knows nothing of splits and folds.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.image_info import THUMB
from bestiary.data.image_info_cache import ImageInfoCache
from bestiary.data.near_duplicates.candidates import candidate_pairs
from bestiary.data.near_duplicates.hashes import WINDOWS, hash_thumbs
from bestiary.data.near_duplicates.matching import (
    SHARE,
    SHARE_OF_ALIKE,
    components,
    confirm_near_duplicates,
)
from bestiary.data.quality_warnings import BLANK
from bestiary.display import Display

PART = 0.2  # of all images, and no fewer than FEW, that one motif's copies never are
FEW = 100
METHOD = 1  # raised whenever other pairs would be found, so that older results are not used
LINKS = {"sha256": pl.String, "duplicate_sha256": pl.String}


def find_near_duplicates(
    table: pl.DataFrame, cache: ImageInfoCache, display: Display
) -> pl.DataFrame:
    """Near copies among the images of a manifest's `table`: columns digest and copy, two digests a
    row.

    The same images are compared once: what was found is kept in `cache`. Copies come in small
    groups; where the largest group would hold a large part of all images, they look alike without
    being copies (handwritten digits, silhouettes), and more of their details must agree.
    """
    different = table.group_by("pixel_sha256").agg(pl.col("sha256").min())["sha256"].sort()
    links = _links_of(different, SHARE, cache, display)
    largest = _largest_group(links)
    if largest < max(FEW, PART * len(different)):
        return links
    display.notice(
        f"Look-alikes: {largest:,} of {len(different):,} images would be copies of one motif, as "
        f"images of little "
        f"detail seem to be; only where {SHARE_OF_ALIKE:.0%} of the details agree are they taken "
        f"for copies"
    )
    return _links_of(different, SHARE_OF_ALIKE, cache, display)


def _links_of(
    different: pl.Series, share: float, cache: ImageInfoCache, display: Display
) -> pl.DataFrame:
    """Near copies among images of `different` digests, of whose detailed blocks `share` agree."""
    key = hashlib.sha256(f"copies {METHOD} {share} {' '.join(different)}".encode()).hexdigest()
    kept = cache.read_result(key)
    if kept is not None:
        return kept
    digests, hashes = _hash_all(different.to_list(), cache)
    pairs = candidate_pairs(hashes)
    # Only images that look like another are compared in detail, so only their thumbs are held in
    # memory.
    wanted = np.unique(pairs[:, :2])
    place = {digests[number]: row for row, number in enumerate(wanted)}
    thumbs = np.empty((len(wanted), THUMB, THUMB), np.uint8)
    for names, found in cache.thumbs(list(place)):
        thumbs[[place[name] for name in names]] = found
    row_of = np.zeros(len(digests), np.int64)
    row_of[wanted] = np.arange(len(wanted))
    with display.counter("Comparing look-alikes") as tick:
        links = confirm_near_duplicates(pairs, thumbs, row_of, tick, share)
    rows = sorted(sorted((digests[a], digests[b])) for a, b in links)
    result = pl.DataFrame(rows, schema=LINKS, orient="row")
    cache.keep_result(key, result)
    return result


def _largest_group(links: pl.DataFrame) -> int:
    """Images in the largest group that `links` make."""
    linked = {
        digest: row
        for row, digest in enumerate(
            pl.concat([links["sha256"], links["duplicate_sha256"]]).unique()
        )
    }
    return int(np.bincount(components(_ends(links, linked), len(linked))).max(initial=0))


def _ends(links: pl.DataFrame, number: dict[str, int]) -> NDArray[np.int64]:
    """(links, 2) numbers of what is linked."""
    return np.array([[number[a], number[b]] for a, b in links.iter_rows()], np.int64).reshape(-1, 2)


def _hash_all(wanted: list[str], cache: ImageInfoCache) -> tuple[list[str], NDArray[np.uint64]]:
    """The digests of the images that show anything at all, sorted, and their hashes (images,
    windows).
    """
    digests: list[str] = []
    parts = [np.empty((0, len(WINDOWS)), np.uint64)]
    for names, thumbs in cache.thumbs(wanted):
        shown = np.ptp(thumbs.reshape(len(thumbs), -1), axis=1) > BLANK
        digests += [name for name, seen in zip(names, shown, strict=True) if seen]
        parts.append(hash_thumbs(thumbs[shown]))
    order = np.argsort(np.array(digests, dtype="U64"))
    return [digests[number] for number in order], np.concatenate(parts)[order]


def mark_near_duplicates(table: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """The table with copies and conflict filled in.

    Args:
        table: columns as of a manifest.
        links: near copies, columns digest and copy.
    """
    number = {digest: row for row, digest in enumerate(table["sha256"].unique().sort())}
    ends = _ends(links, number)
    own = table["sha256"].replace_strict(number, return_dtype=pl.Int64).to_numpy()
    # Images with the same pixels are linked through the first of them.
    first = table.select(pl.col("sha256").first().over("pixel_sha256"))["sha256"]
    same = np.stack([own, first.replace_strict(number, return_dtype=pl.Int64).to_numpy()], axis=1)
    group = pl.Series("duplicate_group", components(np.concatenate([ends, same]), len(number))[own])
    marked = table.with_columns(group).with_columns(
        pl.len().over("duplicate_group").alias("many"),
        (pl.col("label").drop_nulls().n_unique().over("duplicate_group") > 1).alias(
            "label_conflict"
        ),
        pl.col("path").min().over("duplicate_group").alias("name"),
    )
    named = pl.when(pl.col("many") > 1).then("name").otherwise(pl.lit(None, pl.String))
    return marked.with_columns(named.alias("duplicate_group")).select(table.columns)
