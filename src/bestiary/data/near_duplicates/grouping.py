"""A manifest's table -> the same with copies and conflicts marked.

Copies are pictures with the same bytes, the same pixels, or, once aligned, the same details. Copies with different
labels are in conflict. Knows nothing of splits and folds.
"""

import hashlib

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.image_info import THUMB
from bestiary.data.image_info_cache import FactCache
from bestiary.data.near_duplicates.candidates import near_pairs
from bestiary.data.near_duplicates.hashes import WINDOWS, hash_thumbs
from bestiary.data.near_duplicates.matching import SHARE, SHARE_OF_ALIKE, components, confirm_copies
from bestiary.data.quality_warnings import BLANK
from bestiary.display import Display

PART = 0.2  # of all pictures, and no fewer than FEW, that one motif's copies never are
FEW = 100
METHOD = 1  # raised whenever other pairs would be found, so that older results are not used
LINKS = {"digest": pl.String, "copy": pl.String}


def find_links(table: pl.DataFrame, cache: FactCache, display: Display) -> pl.DataFrame:
    """Near copies among the pictures of a manifest's `table`: columns digest and copy, two digests a row.

    The same pictures are compared once: what was found is kept in `cache`. Copies come in small groups; where the
    largest group would hold a large part of all pictures, they look alike without being copies (handwritten digits,
    silhouettes), and more of their details must agree.
    """
    different = table.group_by("pixels").agg(pl.col("digest").min())["digest"].sort()
    links = _links_of(different, SHARE, cache, display)
    largest = _largest_group(links)
    if largest < max(FEW, PART * len(different)):
        return links
    display.notice(
        f"Look-alikes: {largest:,} of {len(different):,} pictures would be copies of one motif, as pictures of little "
        f"detail seem to be; only where {SHARE_OF_ALIKE:.0%} of the details agree are they taken for copies"
    )
    return _links_of(different, SHARE_OF_ALIKE, cache, display)


def _links_of(
    different: pl.Series, share: float, cache: FactCache, display: Display
) -> pl.DataFrame:
    """Near copies among pictures of `different` digests, of whose detailed blocks `share` agree."""
    key = hashlib.sha256(f"copies {METHOD} {share} {' '.join(different)}".encode()).hexdigest()
    kept = cache.read_result(key)
    if kept is not None:
        return kept
    digests, hashes = _hash_all(different.to_list(), cache)
    pairs = near_pairs(hashes)
    # Only pictures that look like another are compared in detail, so only their thumbs are held in memory.
    wanted = np.unique(pairs[:, :2])
    place = {digests[number]: row for row, number in enumerate(wanted)}
    thumbs = np.empty((len(wanted), THUMB, THUMB), np.uint8)
    for names, found in cache.thumbs(list(place)):
        thumbs[[place[name] for name in names]] = found
    row_of = np.zeros(len(digests), np.int64)
    row_of[wanted] = np.arange(len(wanted))
    with display.counter("Comparing look-alikes") as tick:
        links = confirm_copies(pairs, thumbs, row_of, tick, share)
    rows = sorted(sorted((digests[a], digests[b])) for a, b in links)
    result = pl.DataFrame(rows, schema=LINKS, orient="row")
    cache.keep_result(key, result)
    return result


def _largest_group(links: pl.DataFrame) -> int:
    """Pictures in the largest group that `links` make."""
    linked = {
        digest: row
        for row, digest in enumerate(pl.concat([links["digest"], links["copy"]]).unique())
    }
    return int(np.bincount(components(_ends(links, linked), len(linked))).max(initial=0))


def _ends(links: pl.DataFrame, number: dict[str, int]) -> NDArray[np.int64]:
    """(links, 2) numbers of what is linked."""
    return np.array([[number[a], number[b]] for a, b in links.iter_rows()], np.int64).reshape(-1, 2)


def _hash_all(wanted: list[str], cache: FactCache) -> tuple[list[str], NDArray[np.uint64]]:
    """The digests of the pictures that show anything at all, sorted, and their hashes (pictures, windows)."""
    digests: list[str] = []
    parts = [np.empty((0, len(WINDOWS)), np.uint64)]
    for names, thumbs in cache.thumbs(wanted):
        shown = np.ptp(thumbs.reshape(len(thumbs), -1), axis=1) > BLANK
        digests += [name for name, seen in zip(names, shown, strict=True) if seen]
        parts.append(hash_thumbs(thumbs[shown]))
    order = np.argsort(np.array(digests, dtype="U64"))
    return [digests[number] for number in order], np.concatenate(parts)[order]


def mark_copies(table: pl.DataFrame, links: pl.DataFrame) -> pl.DataFrame:
    """The table with copies and conflict filled in.

    Args:
        table: columns as of a manifest.
        links: near copies, columns digest and copy.
    """
    number = {digest: row for row, digest in enumerate(table["digest"].unique().sort())}
    ends = _ends(links, number)
    own = table["digest"].replace_strict(number, return_dtype=pl.Int64).to_numpy()
    # Pictures with the same pixels are linked through the first of them.
    first = table.select(pl.col("digest").first().over("pixels"))["digest"]
    same = np.stack([own, first.replace_strict(number, return_dtype=pl.Int64).to_numpy()], axis=1)
    group = pl.Series("copies", components(np.concatenate([ends, same]), len(number))[own])
    marked = table.with_columns(group).with_columns(
        pl.len().over("copies").alias("many"),
        (pl.col("label").drop_nulls().n_unique().over("copies") > 1).alias("conflict"),
        pl.col("path").min().over("copies").alias("name"),
    )
    named = pl.when(pl.col("many") > 1).then("name").otherwise(pl.lit(None, pl.String))
    return marked.with_columns(named.alias("copies")).select(table.columns)
