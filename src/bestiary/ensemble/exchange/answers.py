"""A table of predictions -> what the files for others have in common: file, kind, time, place.

An answer that is not accepted is `unclassified`: other tools take every name for a finding. Knows
nothing of formats.
"""

from dataclasses import dataclass
from datetime import UTC, datetime

import polars as pl

from bestiary.data.detections.types import EMPTY_WORDS
from bestiary.data.exif_fields import read_exif_fields
from bestiary.ensemble.answers import TOP_CLASSES
from bestiary.run.taxonomy import Taxonomy
from bestiary.storage.files import Root

ANIMAL = "animal"
BLANK = "blank"
FAILED = "failed"
UNCLASSIFIED = "unclassified"


@dataclass(frozen=True, slots=True)
class Classifier:
    """What has classified, for fields of their own.

    Attributes:
        name: Name of bestiary and of the run.
        finished: When the predictions were finished.
        classes: Class names.
        taxonomy: Of the classes; None: not known.
    """

    name: str
    finished: datetime
    classes: list[str]
    taxonomy: Taxonomy | None = None

    @property
    def iso_time(self) -> str:
        """When the predictions were finished, such as 2026-07-01T05:03:20Z."""
        return self.finished.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")

    def scientific_name(self, label: str) -> str:
        """The scientific name of a class."""
        return self.taxonomy.scientific_name(label) if self.taxonomy else label


def file_column(table: pl.DataFrame) -> pl.Expr:
    """The path of the image of each row, which for a box is not the name of the sample."""
    return pl.coalesce("image", "path") if "image" in table.columns else pl.col("path")


def with_kind(table: pl.DataFrame) -> pl.DataFrame:
    """Add the columns file and kind to predictions.

    Args:
        table: As `predict` writes it.

    Returns:
        The table. The kind is `FAILED`, `BLANK` (a detector or the network has found nothing),
        `UNCLASSIFIED` (not accepted) or `ANIMAL`. Without calibration nothing is unclassified.
    """
    is_empty = pl.col("confidence").is_null() | pl.col("label").str.to_lowercase().is_in(
        list(EMPTY_WORDS)
    )
    is_accepted = pl.col("accepted").fill_null(True)
    kind = (
        pl.when(pl.col("error").is_not_null())
        .then(pl.lit(FAILED))
        .when(pl.col("confidence").is_not_null() & ~is_accepted)
        .then(pl.lit(UNCLASSIFIED))
        .when(is_empty)
        .then(pl.lit(BLANK))
        .otherwise(pl.lit(ANIMAL))
    )
    return table.with_columns(file_column(table).alias("file"), kind.alias("kind"))


def with_exif(table: pl.DataFrame, root: Root) -> pl.DataFrame:
    """Fill time, camera and position from the files, where the table has none.

    Args:
        table: With the column file.
        root: Folder that it starts from.
    """
    known = [name for name in ("time", "lat", "lon") if name in table.columns]
    has_gaps = len(known) < 3 or any(table[name].null_count() for name in known)
    return read_exif_fields(table, root) if has_gaps else table


def ranked(row: dict[str, object]) -> list[tuple[str, float]]:
    """The classes of a row with their confidence, the best first."""
    pairs = []
    for rank in range(1, TOP_CLASSES + 1):
        suffix = "" if rank == 1 else f"_{rank}"
        label, confidence = row.get(f"label{suffix}"), row.get(f"confidence{suffix}")
        if isinstance(label, str) and isinstance(confidence, float):
            pairs.append((label, confidence))
    return pairs
