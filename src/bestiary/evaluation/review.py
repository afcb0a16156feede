"""Predictions -> the images that a person should look at: a random sample, and the least sure.

The sample is an audit: its share of right answers is that of all images, with an interval. The rest
are the answers that are unknown or not sure, least sure first. Decides nothing by itself.
"""

from dataclasses import dataclass
from typing import Any

import polars as pl

from bestiary.rng import keyed_rng
from bestiary.storage.files import Root

AUDITED_IMAGES = 100  # gives the accuracy to about 6 points either way where it is 90 %
MAX_UNSURE = 500  # with their images, about 15 MB of a page
SHOWN_COLUMNS = ("path", "confidence", "prediction_set", "accepted", "unknown")


@dataclass(frozen=True)
class Review:
    """The predictions that a person is asked to review.

    Attributes:
        root: folder that the paths start from.
        classes: of the run.
        images: rows of the predictions to show, the audit first, then by falling doubt. One more
            column, audit, says which were drawn at random.
        total: predictions of images that could be read.
        unsure: how many of them are unknown or not sure; without calibration, all.
        seed: of the audit's draw.
    """

    root: Root
    classes: list[str]
    images: pl.DataFrame
    total: int
    unsure: int
    seed: int = 0

    @property
    def rows(self) -> list[dict[str, Any]]:
        """The rows as values for JSON: the best classes as pairs of name and confidence."""
        return [_row(row) for row in self.images.iter_rows(named=True)]


def choose_review(
    predictions: pl.DataFrame, root: Root, classes: list[str], seed: int = 0
) -> Review:
    """Choose the predictions that a person should look at.

    Args:
        predictions: the table that `predict` writes.
        root: folder that its paths start from.
        classes: of the run.
        seed: of the audit's draw.

    Returns:
        At most `AUDITED_IMAGES` drawn at random, and `MAX_UNSURE` others.
    """
    is_predicted = pl.col("error").is_null() & pl.col("confidence").is_not_null()
    readable = predictions.filter(is_predicted)  # without images that a detector found empty
    draw = keyed_rng(seed, "audit", readable.height).permutation(readable.height)
    is_audited = pl.Series(draw < AUDITED_IMAGES)
    marked = readable.with_columns(is_audited.alias("audit"))

    is_sure = pl.col("accepted").fill_null(False)
    unsure = marked.filter(~is_sure)
    is_unknown = pl.col("unknown").fill_null(False)
    ordered = unsure.filter(~pl.col("audit")).sort(~is_unknown, "confidence", "path")
    shown = pl.concat([marked.filter("audit"), ordered.head(MAX_UNSURE)])
    return Review(root, classes, shown, readable.height, unsure.height, seed)


def _row(row: dict[str, Any]) -> dict[str, Any]:
    ranks = [""] + [f"_{rank}" for rank in range(2, 10) if f"label_{rank}" in row]
    top = [(row[f"label{rank}"], row[f"confidence{rank}"]) for rank in ranks]
    shown = {name: row[name] for name in SHOWN_COLUMNS}
    return shown | {"top": [pair for pair in top if pair[0] is not None], "audit": row["audit"]}
