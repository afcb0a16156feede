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
    # Images with the same pixels are in one group, so what is in none has no pair.
    columns = ["sha256", "pixel_sha256", "path", "duplicate_group", "height", "width"]
    grouped = table.drop_nulls("duplicate_group").select(columns).sort("path")
    rows = _same_pixel_rows(grouped)
    images = {row["sha256"]: row for row in grouped.reverse().to_dicts()}
    for pair in pairs.filter("is_proved").to_dicts():
        image = images.get(pair["sha256"])
        partner = images.get(pair["duplicate_sha256"])
        if image is None or partner is None:
            continue
        if image["duplicate_group"] != partner["duplicate_group"]:
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


def _same_pixel_rows(images: pl.DataFrame) -> list[tuple[object, ...]]:
    """Pair every image with the first one of the same pixels; `images` are sorted by path."""
    rows: list[tuple[object, ...]] = []
    first: dict[str, tuple[str, str]] = {}
    columns = ["pixel_sha256", "sha256", "path", "duplicate_group"]
    for pixels, sha256, path, group in images.select(columns).iter_rows():
        if pixels not in first:
            first[pixels] = (path, sha256)
            continue
        original, original_sha256 = first[pixels]
        words = SAME_FILE if sha256 == original_sha256 else SAME_PIXELS
        rows.append((group, original, path, words, 1.0, 1.0))
    return rows
