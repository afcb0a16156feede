"""An ensemble and the images of a listing -> the rows of a table of predictions, batch by batch.

Knows nothing of where the rows are stored.
"""

from collections.abc import Iterator, Sequence
from typing import Any

import polars as pl

from bestiary.display import Tick
from bestiary.ensemble.answers import PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.inputs import ImageInput
from bestiary.recipe.choices import Average
from bestiary.run.fields import carried_columns
from bestiary.storage.files import Root

EMPTY = "empty"  # label of an image in which a detector has found nothing


class _LazyPaths(Sequence[ImageInput]):
    """Paths below a folder, made on access: a million path objects would take memory."""

    def __init__(self, root: Root, paths: pl.Series) -> None:
        self.root = root
        self.paths = paths

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        return self.root / self.paths[index]


def carried_schema(table: pl.DataFrame) -> dict[str, Any]:
    """Columns that a listing hands through to its predictions, with their types."""
    return {name: table.schema[name] for name in carried_columns(table.columns)}


def predicted_rows(
    ensemble: Ensemble,
    root: Root,
    table: pl.DataFrame,
    rule: Average,
    options: PredictionOptions,
    tick: Tick | None = None,
    deep: list[float] | None = None,
) -> Iterator[list[dict[str, Any]]]:
    """Predict images as rows of the table, batch by batch.

    Args:
        ensemble: predicts.
        root: folder that the paths start from.
        table: the images: path, and the columns that are handed through.
        rule: how the members are averaged.
        options: coverage and risk.
        tick: called with the number of images done and of all.
        deep: collects `BatchLogits.deep` of all images.

    Yields:
        The rows of each batch, in order.
    """
    carried = table.select(list(carried_schema(table)))
    paths = table["path"]
    for batch in ensemble.score(_LazyPaths(root, paths), tick):
        if deep is not None:
            deep += batch.deep
        rows = []
        answers = answer_batch(ensemble, batch, rule, options)
        handed = carried[batch.rows].iter_rows(named=True) if carried.width else [{}] * len(answers)
        for index, answer, fields in zip(batch.rows.tolist(), answers, handed, strict=True):
            reason = batch.reasons.get(index)
            columns = answer.columns() if reason is None else {"error": reason}
            rows.append({"path": paths[index], **columns, **fields})
        yield rows


def empty_rows(table: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of images in which a detector has found nothing: nothing is asked of the network.

    Args:
        table: `Listing.empty`.
    """
    carried = carried_columns(table.columns)
    for row in table.select("path", *carried).iter_rows(named=True):
        yield row | {"label": EMPTY, "image": row["path"]}
