"""Logits of images in events -> one answer for each event, calibrated, and what that gains.

The logits of an event are the mean of those of its images. Frames of one animal agree more than
independent images would, so the temperature is fitted again to events. Pure functions of arrays.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import paired_difference

Labels = NDArray[np.int64]
MIXED = -1  # label of an event whose images have several


def pool_logits(logits: NDArray[np.floating], events: Labels) -> NDArray[np.float64]:
    """Average the logits of the images of each event.

    Args:
        logits: (..., images, classes).
        events: number of the event of each image (images,), 0 to events - 1.

    Returns:
        (..., events, classes).

    Example:
        >>> pool_logits(np.array([[1.0, 0.0], [3.0, 0.0], [0.0, 5.0]]), np.array([0, 0, 1]))
        array([[2., 0.],
               [0., 5.]])
    """
    sizes = np.bincount(events)
    order = np.argsort(events, kind="stable")
    sums = np.add.reduceat(
        logits[..., order, :].astype(np.float64), np.cumsum(sizes) - sizes, axis=-2
    )
    return np.asarray(sums / sizes[:, None])


def event_labels(labels: Labels, events: Labels) -> Labels:
    """Find the label of each event.

    Args:
        labels: class number of each image (images,).
        events: number of the event of each image (images,).

    Returns:
        Class number of each event (events,); `MIXED` where its images have several.
    """
    n_events = int(events.max()) + 1
    low = np.full(n_events, np.iinfo(np.int64).max)
    high = np.full(n_events, -1)
    np.minimum.at(low, events, labels)
    np.maximum.at(high, events, labels)
    return np.where(low == high, low, MIXED)


def event_scores(
    logits: NDArray[np.floating], labels: Labels, events: Labels, groups: Labels
) -> dict[str, Any]:
    """Score answers by image and by event.

    Args:
        logits: (images, classes), each image's from a member that was not trained on it.
        labels: class numbers (images,).
        events: number of the event of each image (images,).
        groups: group number of each image (images,); no event is in two groups.

    Returns:
        Accuracy by image, of images that take their event's answer, and by event, each with its
        interval; the paired gain of the images; numbers of events. Events of several labels count
        for no accuracy by event; their number is told.
    """
    pooled = pool_logits(logits, events)
    answers = pooled.argmax(axis=1)
    own = np.asarray(logits.argmax(axis=1) == labels)
    shared = np.asarray(answers[events] == labels)
    gain = paired_difference(own, shared, groups)
    truth = event_labels(labels, events)
    is_scored = truth != MIXED
    first = np.unique(events, return_index=True)[1]
    scores = {
        "images": asdict(share_interval(own, groups)),
        "images_by_event": asdict(share_interval(shared, groups)),
        "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
        "n_events": len(truth),
        "n_mixed": int((~is_scored).sum()),
    }
    if is_scored.any():
        hits = answers[is_scored] == truth[is_scored]
        scores["events"] = asdict(share_interval(hits, groups[first][is_scored]))
    return scores
