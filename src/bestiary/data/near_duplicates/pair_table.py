"""Compared pairs and a manifest -> the table of pairs for a person: paths, differences, proof.

Knows nothing of pixels.
"""

import numpy as np
import polars as pl

from bestiary.data.near_duplicates.differences import describe_differences
from bestiary.data.near_duplicates.grouping import MAP_COLUMNS

PAIR_TABLE_SCHEMA = {
    "duplicate_group": pl.String,
    "path": pl.String,
    "other": pl.String,
    "differences": pl.String,
    "detail": pl.Float64,
    "probability": pl.Float64,
}
SAME_FILE = "the same file"
SAME_PIXELS = "the same pixels in another file"


def describe_pairs(table: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """Describe the pairs that make the groups.

    Args:
        table: Columns as of a manifest, with duplicate_group filled in.
        pairs: Compared pairs as from `find_near_duplicates`.

    Returns:
        Columns as in `PAIR_TABLE_SCHEMA`, sorted by group and paths. Images with the same pixels
        are paired with the first of them, whose pairs stand for all.
    """
    rows = _same_pixel_rows(table)
    images = {row["sha256"]: row for row in table.sort("path", descending=True).to_dicts()}
    for pair in pairs.filter("is_proved").to_dicts():
        image = images.get(pair["sha256"])
        partner = images.get(pair["duplicate_sha256"])
        if image is None or partner is None or not _share_group(image, partner):
            continue
        affine = np.array([pair[name] for name in MAP_COLUMNS]).reshape(2, 3)
        differences = describe_differences(
            affine,
            pair["gain"],
            pair["offset"],
            (image["height"], image["width"]),
            (partner["height"], partner["width"]),
        )
        rows.append(
            (
                image["duplicate_group"],
                image["path"],
                partner["path"],
                differences,
                pair["detail"],
                pair["probability"],
            )
        )
    described = pl.DataFrame(rows, schema=PAIR_TABLE_SCHEMA, orient="row")
    return described.sort("duplicate_group", "path", "other")


def _share_group(image: dict[str, object], partner: dict[str, object]) -> bool:
    group = image["duplicate_group"]
    return group is not None and group == partner["duplicate_group"]


def _same_pixel_rows(table: pl.DataFrame) -> list[tuple[object, ...]]:
    """Pair every image with the first one of the same pixels."""
    rows: list[tuple[object, ...]] = []
    first: dict[str, tuple[str, str]] = {}
    columns = ["pixel_sha256", "sha256", "path", "duplicate_group"]
    for pixels, sha256, path, group in table.sort("path").select(columns).iter_rows():
        if pixels not in first:
            first[pixels] = (path, sha256)
            continue
        original, original_sha256 = first[pixels]
        words = SAME_FILE if sha256 == original_sha256 else SAME_PIXELS
        rows.append((group, original, path, words, 1.0, 1.0))
    return rows
