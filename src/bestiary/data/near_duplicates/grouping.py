"""A manifest's table -> the same table with duplicate groups and label conflicts filled in.

Near duplicates are images with the same bytes, the same pixels or, once aligned, the same details.
Near duplicates with different labels are in conflict. Knows nothing of splits and folds.
"""

import hashlib
from itertools import compress

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.image_info import THUMB_SIDE
from bestiary.data.image_info_cache import ImageInfoCache
from bestiary.data.near_duplicates.candidates import candidate_pairs
from bestiary.data.near_duplicates.hashes import WINDOWS, Hashes, hash_thumbs
from bestiary.data.near_duplicates.matching import (
    NEAR_DUPLICATE_AGREEMENT,
    NEAR_DUPLICATE_AGREEMENT_LOW_DETAIL,
    components,
    confirm_near_duplicates,
)
from bestiary.data.quality_warnings import BLANK_MAX_SPREAD
from bestiary.display import Display

# Near duplicates come in small groups. A group with this share of all images, and with this many
# images, means that the images have too little detail for the usual threshold.
LARGE_GROUP_MIN_SHARE = 0.2
LARGE_GROUP_MIN_IMAGES = 100
METHOD_VERSION = 1  # raised when the method changes, so that older results are not used
LINK_SCHEMA = {"sha256": pl.String, "duplicate_sha256": pl.String}


def find_near_duplicates(
    table: pl.DataFrame, cache: ImageInfoCache, display: Display
) -> pl.DataFrame:
    """Find the near duplicates among the images of a manifest.

    The result is cached, so the same images are compared once. Datasets of low detail (handwritten
    digits, silhouettes) form one large group of images that are no near duplicates; there more of
    the details must agree.

    Args:
        table: Columns as of a manifest; `cache` has read all images.
        cache: Gives the thumbs and stores the result.
        display: Shows the progress.

    Returns:
        Links with the columns sha256 and duplicate_sha256, two images in a row.
    """
    # Images with the same pixels are compared once, under the first of their SHA-256s.
    first_digest = pl.col("sha256").min()
    by_pixels = table.group_by("pixel_sha256").agg(first_digest)
    digests = by_pixels["sha256"].sort()
    links = _find_links(digests, NEAR_DUPLICATE_AGREEMENT, cache, display)

    largest = _largest_group(links)
    min_large = max(LARGE_GROUP_MIN_IMAGES, LARGE_GROUP_MIN_SHARE * len(digests))
    if largest < min_large:
        return links

    min_agreement = NEAR_DUPLICATE_AGREEMENT_LOW_DETAIL
    display.notice(
        f"Low detail: {largest:,} of {len(digests):,} images would be near duplicates of one "
        f"image; so an image counts as a near duplicate only if {min_agreement:.0%} of its details "
        f"agree"
    )
    return _find_links(digests, min_agreement, cache, display)


def mark_near_duplicates(table: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """Fill in the columns duplicate_group and label_conflict.

    Args:
        table: Columns as of a manifest.
        links: Near duplicates as from `find_near_duplicates`.

    Returns:
        The table. A group is named after the first path in it.
    """
    group = pl.Series("duplicate_group", _group_numbers(table, links))
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


def _group_numbers(table: pl.DataFrame, links: pl.DataFrame) -> NDArray[np.int64]:
    """Number the groups of the images (images,) that links, bytes or pixels join."""
    digests = table["sha256"].unique().sort()
    index_of = {digest: index for index, digest in enumerate(digests)}

    def indices(sha256s: pl.Series) -> NDArray[np.int64]:
        return sha256s.replace_strict(index_of, return_dtype=pl.Int64).to_numpy()

    # Link images with the same pixels to the first of them.
    own = indices(table["sha256"])
    first_of_pixels = pl.col("sha256").first().over("pixel_sha256")
    first = indices(table.select(first_of_pixels)["sha256"])
    same_pixels = np.stack([own, first], axis=1)

    near_duplicates = _link_indices(links, index_of)
    all_links = np.concatenate([near_duplicates, same_pixels])
    group_of_digest = components(all_links, len(index_of))
    return group_of_digest[own]


def _find_links(
    digests: pl.Series, min_agreement: float, cache: ImageInfoCache, display: Display
) -> pl.DataFrame:
    """Find near duplicates among the images of `digests`, or read them from the cache."""
    content = f"near duplicates {METHOD_VERSION} {min_agreement} {' '.join(digests)}"
    key = hashlib.sha256(content.encode()).hexdigest()
    cached = cache.read_result(key)
    if cached is not None:
        return cached

    links = _compare_images(digests, min_agreement, cache, display)
    cache.write_result(key, links)
    return links


def _compare_images(
    digests: pl.Series, min_agreement: float, cache: ImageInfoCache, display: Display
) -> pl.DataFrame:
    """Find near duplicates among the images of `digests` by their thumbs."""
    names, hashes = _hash_images(digests.to_list(), cache)
    pairs = candidate_pairs(hashes)

    # Memory holds only the thumbs of candidates: only these are compared in detail.
    candidates = np.unique(pairs[:, :2])
    candidate_names = [names[image] for image in candidates]
    thumbs = _read_thumbs(candidate_names, cache)
    thumb_of_image = np.zeros(len(names), np.int64)
    thumb_of_image[candidates] = np.arange(len(candidates))
    with display.counter("Comparing near-duplicate candidates") as tick:
        links = confirm_near_duplicates(
            pairs,
            thumbs,
            thumb_of_image,
            progress=tick,
            min_agreement=min_agreement,
        )

    rows = []
    for image, partner in links:
        row = sorted((names[image], names[partner]))
        rows.append(row)
    rows.sort()
    return pl.DataFrame(rows, schema=LINK_SCHEMA, orient="row")


def _hash_images(wanted: list[str], cache: ImageInfoCache) -> tuple[list[str], Hashes]:
    """Hash the images that are not blank: their digests, sorted, and hashes (images, windows)."""
    digests: list[str] = []
    hashes = [np.empty((0, len(WINDOWS)), np.uint64)]
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


def _largest_group(links: pl.DataFrame) -> int:
    """Count the images of the largest group that `links` join."""
    linked = pl.concat([links["sha256"], links["duplicate_sha256"]])
    digests = linked.unique()
    index_of = {digest: index for index, digest in enumerate(digests)}
    indices = _link_indices(links, index_of)
    groups = components(indices, len(index_of))
    sizes = np.bincount(groups)
    return int(sizes.max(initial=0))


def _link_indices(links: pl.DataFrame, index_of: dict[str, int]) -> NDArray[np.int64]:
    """Turn links between digests into links between image indices (links, 2)."""
    indices = []
    for one, other in links.iter_rows():
        indices.append((index_of[one], index_of[other]))
    return np.array(indices, np.int64).reshape(-1, 2)
