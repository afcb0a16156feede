"""Out-of-fold answers of images in events -> scores by event, and the calibration of events."""

from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.stats.calibration import Calibration
from bestiary.stats.events import MIXED, event_labels, event_scores, pool_logits

MIN_EVENTS = 20  # to calibrate


def score_events(out_of_fold: OutOfFold) -> dict[str, Any] | None:
    """Score a run by event.

    Args:
        out_of_fold: its logits that may be scored.

    Returns:
        See `bestiary.stats.events.event_scores`; None where no event has two images.
    """
    events = event_numbers(out_of_fold.table)
    if events is None:
        return None
    return event_scores(out_of_fold.logits, out_of_fold.labels, events, out_of_fold.groups)


def calibrate_events(out_of_fold: OutOfFold, logits: NDArray[np.floating]) -> Calibration | None:
    """Fit the calibration of events.

    Args:
        out_of_fold: images of a run that may be scored.
        logits: of the images, calibrated for single ones (images, classes).

    Returns:
        The calibration; None where no event has two images, or too few events have one label.
    """
    events = event_numbers(out_of_fold.table)
    if events is None:
        return None
    labels = event_labels(out_of_fold.labels, events)
    is_fitted = labels != MIXED
    if is_fitted.sum() < MIN_EVENTS:
        return None
    pooled = pool_logits(logits, events)
    return Calibration.fit(pooled[is_fitted], labels[is_fitted])


def event_numbers(table: pl.DataFrame) -> NDArray[np.int64] | None:
    """Number the events of images; an image that belongs to none is one of its own.

    Args:
        table: path, and event if there are any.

    Returns:
        Number of each image's event (images,), from 0 without gaps; None: no event has two images.
    """
    if "event" not in table.columns:
        return None
    names = table.select(pl.coalesce("event", "path")).to_series()
    numbers = (names.rank("dense") - 1).cast(pl.Int64).to_numpy()
    return numbers if names.n_unique() < len(names) else None
