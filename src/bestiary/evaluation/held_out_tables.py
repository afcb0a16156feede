"""An evaluation on held-out images -> its tables: every image, every class, the confusion matrix.

An external test set needs them for a paper as much as the run's own images do. Computes no logits.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from bestiary.ensemble.answers import Answer
from bestiary.evaluation.held_out_results import HeldOutResults
from bestiary.run.layout import CLASSES, CONFUSION, EVALUATED_IMAGES
from bestiary.run.tables import write_table
from bestiary.tables import escape_formulas

IMAGE_SCHEMA = {
    "path": pl.String,
    "label": pl.String,
    "answer": pl.String,
    "confidence": pl.Float64,
    "member_agreement": pl.Float64,
    "prediction_set": pl.String,
    "accepted": pl.Boolean,
    "unknown": pl.Boolean,
    "left_out": pl.String,
    "duplicate_of": pl.String,
    "error": pl.String,
}
"""Columns of the table of images."""


@dataclass(frozen=True)
class JudgedImages:
    """Held-out images with what an ensemble says of them.

    Attributes:
        rows: columns path, label, left_out (the reason why an image is not scored, or null) and
            duplicate_of (an image of the run, or null); of images that could be read.
        answers: of the ensemble, one a row.
        unreadable: path and reason of each image that could not be read.
    """

    rows: pl.DataFrame
    answers: list[Answer]
    unreadable: pl.DataFrame

    def image_table(self) -> pl.DataFrame:
        """Make the table of all images, sorted by path; columns as in `IMAGE_SCHEMA`."""
        answers = [_answer_columns(answer) for answer in self.answers]
        columns = {name: kind for name, kind in IMAGE_SCHEMA.items() if name not in self.rows}
        said = pl.DataFrame(answers, schema=columns)
        error = pl.col("reason").alias("error")
        failed = self.unreadable.select("path", error, left_out=pl.lit("unreadable"))
        known = pl.concat([self.rows, said.drop("error")], how="horizontal")
        table = pl.concat([known, failed], how="diagonal")
        return table.select(pl.col(name).cast(kind) for name, kind in IMAGE_SCHEMA.items()).sort(
            "path"
        )


def _answer_columns(answer: Answer) -> dict[str, Any]:
    """An answer as columns of the table; its class is not called a label, which is the truth."""
    columns = answer.columns()
    columns["answer"] = columns.pop("label")
    return {name: value for name, value in columns.items() if name in IMAGE_SCHEMA}


def class_frame(results: HeldOutResults) -> pl.DataFrame:
    """Make the table of classes.

    Args:
        results: the scored images.

    Returns:
        Columns label, images, recall, recall_low, recall_high, precision, precision_low,
        precision_high, f1; shares 0 to 1, null without images.
    """
    rows = []
    for name, row in zip(results.classes, results.per_class, strict=True):
        columns = {"label": name, "images": row["support"]}
        for score in ("recall", "precision"):
            interval = row[score] or {"value": None, "low": None, "high": None}
            columns |= {score: interval["value"]}
            columns |= {f"{score}_{end}": interval[end] for end in ("low", "high")}
        rows.append(columns | {"f1": row["f1"]})
    shares = [f"{score}{end}" for score in ("recall", "precision") for end in ("", "_low", "_high")]
    schema = {"label": pl.String, "images": pl.Int64} | dict.fromkeys([*shares, "f1"], pl.Float64)
    return pl.DataFrame(rows, schema=schema)


def confusion_frame(results: HeldOutResults) -> pl.DataFrame:
    """Make the confusion matrix as a table: labels in rows, answers in columns, counts.

    Args:
        results: the scored images. Names of columns are escaped like text of a table.
    """
    header = escape_formulas(pl.DataFrame({"name": results.classes}))["name"].to_list()
    columns = {name: results.confusion[:, number] for number, name in enumerate(header)}
    return pl.DataFrame({"label / answer": results.classes, **columns})


def write_tables(folder: Path, judged: JudgedImages, results: HeldOutResults) -> None:
    """Write the tables of an evaluation into a folder, which is made if need be.

    Args:
        folder: where to.
        judged: all images.
        results: the scored images.

    Raises:
        BestiaryError: the folder cannot be written.
    """
    write_table(folder / EVALUATED_IMAGES, judged.image_table())
    write_table(folder / CLASSES, class_frame(results))
    write_table(folder / CONFUSION, confusion_frame(results))
