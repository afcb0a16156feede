"""Rows of predictions, image by image -> the same rows with the answer of their event.

A row waits until the last image of its event has come. Images come in the order of their events, so
few wait at a time, and an interrupted prediction has whole events.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.events import EVENT

Row = dict[str, Any]
Floats = NDArray[np.float64]


def in_event_order(table: pl.DataFrame) -> pl.DataFrame:
    """Sort images so that those of an event follow each other.

    Args:
        table: path and event.
    """
    return table.sort(pl.coalesce(EVENT, "path"), "path")


@dataclass(slots=True)
class _Waiting:
    """An event whose images have not all come."""

    rows: list[Row] = field(default_factory=list)
    total: Floats | None = None
    images: int = 0


class EventRows:
    """Gives rows the answer of their event, as soon as it is complete."""

    def __init__(self, events: pl.Series, answer: Callable[[Floats], Row]) -> None:
        """Prepare.

        Args:
            events: of all images that will come; null: none.
            answer: from the mean logits (members, classes) of an event to its columns.
        """
        sizes = events.drop_nulls().value_counts()
        self._missing: dict[str, int] = dict(sizes.iter_rows())
        self._answer = answer
        self._waiting: dict[str, _Waiting] = {}

    def add(self, row: Row, logits: Floats | None) -> list[Row]:
        """Add the row of an image.

        Args:
            row: with the column event.
            logits: of its members (members, classes); None: it could not be decoded.

        Returns:
            The rows that are complete by it, of its event; an image without an event is complete.
        """
        event = row.get(EVENT)
        if event is None:
            return [row]
        waiting = self._waiting.setdefault(event, _Waiting())
        waiting.rows.append(row)
        if logits is not None:
            waiting.total = logits if waiting.total is None else waiting.total + logits
            waiting.images += 1
        self._missing[event] -= 1
        if self._missing[event]:
            return []
        del self._waiting[event]
        columns: Row = {}
        if waiting.total is not None:
            columns = self._answer(waiting.total / waiting.images)
            if all(row.get("unknown", True) for row in waiting.rows):
                columns["event_accepted"] = False
        return [row | columns if "error" not in row else row for row in waiting.rows]
