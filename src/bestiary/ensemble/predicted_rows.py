"""An ensemble and the images of a listing -> the rows of a table of predictions, batch by batch.

Knows nothing of where the rows are stored.
"""

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.events import EVENT, find_events
from bestiary.display import Tick
from bestiary.ensemble.answers import PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.event_rows import EventRows, in_event_order
from bestiary.ensemble.field_answers import EVENT_SCHEMA, answer_event, answer_in_field
from bestiary.ensemble.field_rules import FieldRules
from bestiary.ensemble.inputs import ImageInput
from bestiary.recipe.choices import Average
from bestiary.run.fields import carried_columns
from bestiary.storage.files import Root

EMPTY = "empty"  # label of an image in which a detector has found nothing
Watcher = Callable[[NDArray[np.float32]], None]
"""Is given logits (members, images, classes) as they are computed."""


class _LazyPaths(Sequence[ImageInput]):
    """Paths below a folder, made on access: a million path objects would take memory."""

    def __init__(self, root: Root, paths: pl.Series) -> None:
        self.root = root
        self.paths = paths
        self.is_local = isinstance(root, Path)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: Any) -> Any:
        return self.root / self.paths[index]


def carried_schema(table: pl.DataFrame) -> dict[str, Any]:
    """Columns that a listing hands through to its predictions, with their types."""
    return {name: table.schema[name] for name in carried_columns(table.columns)}


def with_events(table: pl.DataFrame, rules: FieldRules | None) -> pl.DataFrame:
    """Add the column event to the images of a listing, and sort them by it.

    Args:
        table: of the listing.
        rules: the table stays as it is without a calibration of events.
    """
    if rules is None or rules.card.events is None:
        return table
    events = find_events(table, rules.card.event_seconds)
    if events is None:
        return table
    return in_event_order(table.with_columns(events.alias(EVENT)))


def field_schema(table: pl.DataFrame, rules: FieldRules | None) -> dict[str, Any]:
    """Columns that rules add to the predictions of a listing, with their types."""
    if rules is None:
        return {}
    has_events = rules.card.events is not None and EVENT in table.columns
    return rules.schema | (EVENT_SCHEMA if has_events else {})


def predicted_rows(
    ensemble: Ensemble,
    root: Root,
    table: pl.DataFrame,
    rule: Average,
    options: PredictionOptions,
    tick: Tick | None = None,
    deep: list[float] | None = None,
    rules: FieldRules | None = None,
    watcher: Watcher | None = None,
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
        rules: what changes answers in the field; None: nothing does. With a calibration of events
            and a column event, the images of an event follow each other.
        watcher: is given the logits of the images that could be read (members, images, classes).

    Yields:
        The rows of each batch, in order; those of an event once it is complete.
    """
    carried = table.select(list(carried_schema(table)))
    paths = table["path"]
    events = _event_rows(ensemble, table, rule, options, rules)
    for batch in ensemble.iter_logits(_LazyPaths(root, paths), tick):
        if deep is not None:
            deep += batch.deep
        if watcher is not None:
            watcher(batch.readable)
        chosen = table[batch.rows]
        if rules is None:
            answers = answer_batch(ensemble, batch, rule, options)
            logits = None
        else:
            answers, logits = answer_in_field(ensemble, batch, rule, options, rules, chosen)
        handed = carried[batch.rows].iter_rows(named=True) if carried.width else [{}] * len(answers)
        rows = []
        for place, (index, answer, fields) in enumerate(
            zip(batch.rows.tolist(), answers, handed, strict=True)
        ):
            reason = batch.reasons.get(index)
            columns = answer.columns() if reason is None else {"error": reason}
            row = {"path": paths[index], **columns, **fields}
            if events is None or logits is None:
                rows.append(row)
            else:
                rows += events.add(row, logits[:, place] if reason is None else None)
        yield rows


def _event_rows(
    ensemble: Ensemble,
    table: pl.DataFrame,
    rule: Average,
    options: PredictionOptions,
    rules: FieldRules | None,
) -> EventRows | None:
    """Prepare the answers of events; None if there are none."""
    if rules is None or rules.card.events is None or EVENT not in table.columns:
        return None
    classes = ensemble.classes_.tolist()
    return EventRows(
        table[EVENT], lambda logits: answer_event(logits, rule, options, rules, classes)
    )


def empty_rows(table: pl.DataFrame) -> Iterator[dict[str, Any]]:
    """Rows of images in which a detector has found nothing: nothing is asked of the network.

    Args:
        table: `Listing.empty`.
    """
    carried = carried_columns(table.columns)
    for row in table.select("path", *carried).iter_rows(named=True):
        yield row | {"label": EMPTY, "image": row["path"]}
