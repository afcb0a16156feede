"""Probabilities of classes and a tree above them -> the lowest rank that is sure.

The probability of a taxon is the sum of its classes'. Each level has a threshold for the risk that
is asked for: the classes first, then each higher rank on those images that no lower level can
promise. Pure functions of arrays.
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.calibration import RISKS, accepted_threshold
from bestiary.stats.intervals import share_interval

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Levels = Sequence[Labels]
"""For each level the number of each class' taxon (classes,); the first level is the classes."""
Thresholds = Mapping[float, Sequence[float]]
"""Risk -> least confidence at each level; 2 where no confidence is enough."""


def sum_up(probabilities: Floats, taxon_of: Labels) -> Floats:
    """Sum the probabilities of classes over their taxa.

    Args:
        probabilities: (images, classes).
        taxon_of: number of each class' taxon (classes,), 0 to taxa - 1.

    Returns:
        (images, taxa).

    Example:
        >>> sum_up(np.array([[0.5, 0.25, 0.25]]), np.array([0, 1, 1]))
        array([[0.5, 0.5]])
    """
    membership = np.zeros((len(taxon_of), int(taxon_of.max()) + 1))
    membership[np.arange(len(taxon_of)), taxon_of] = 1
    return np.asarray(probabilities @ membership)


def fit_thresholds(
    probabilities: Floats, labels: Labels, levels: Levels, groups: Labels | None = None
) -> Thresholds:
    """Fit the least confidence of each level.

    Args:
        probabilities: calibrated, of images that the network was not trained on (images, classes).
        labels: class numbers (images,).
        levels: see `Levels`.
        groups: group number of each image (images,), which is one piece of evidence; None: every
            image is its own group.

    Returns:
        For each risk that is offered, the thresholds of the levels.
    """
    groups = np.arange(len(labels)) if groups is None else groups
    tops = [_top(probabilities, taxon_of) for taxon_of in levels]
    thresholds: dict[float, list[float]] = {}
    for risk in RISKS:
        is_open = np.ones(len(labels), np.bool_)
        thresholds[risk] = []
        for taxon_of, (taxa, confidence) in zip(levels, tops, strict=True):
            hits = taxa == taxon_of[labels]
            threshold = accepted_threshold(
                confidence[is_open], hits[is_open], risk, groups[is_open]
            )
            thresholds[risk].append(threshold)
            is_open &= confidence < threshold
    return thresholds


def lowest_sure(
    probabilities: Floats, levels: Levels, thresholds: Sequence[float]
) -> tuple[Labels, Labels, Floats]:
    """Find the lowest level that each image is sure at.

    Args:
        probabilities: calibrated (images, classes).
        levels: see `Levels`.
        thresholds: of each level.

    Returns:
        Level (images,), the number of levels where none is sure; number of the taxon there, and its
        probability.
    """
    n_images = len(probabilities)
    level = np.full(n_images, len(levels), np.int64)
    taxon = np.zeros(n_images, np.int64)
    sure = np.zeros(n_images)
    for number, (taxon_of, threshold) in enumerate(zip(levels, thresholds, strict=True)):
        taxa, confidence = _top(probabilities, taxon_of)
        is_new = (level == len(levels)) & (confidence >= threshold)
        level[is_new] = number
        taxon[is_new] = taxa[is_new]
        sure[is_new] = confidence[is_new]
    return level, taxon, sure


def rank_scores(
    probabilities: Floats,
    labels: Labels,
    levels: Levels,
    parts: Labels,
    groups: Labels,
    risk: float,
    leak_groups: Labels | None = None,
) -> list[dict[str, Any]]:
    """Score the answers at each level.

    Args:
        probabilities: calibrated out of fold (images, classes).
        labels: class numbers (images,).
        levels: see `Levels`.
        parts: part of each image (images,): its thresholds are those of the other parts.
        groups: group number of each image (images,).
        risk: one of `RISKS`.
        leak_groups: those that count once for the thresholds (images,); None: `groups`.

    Returns:
        For each level: accuracy if all images are answered there; share of the images that are
        promised an answer there, and the accuracy of these (None: there are none).
    """
    once = groups if leak_groups is None else leak_groups
    level = np.empty(len(labels), np.int64)
    taxon = np.empty(len(labels), np.int64)
    for part in np.unique(parts):
        is_val = parts == part
        fitted = fit_thresholds(probabilities[~is_val], labels[~is_val], levels, once[~is_val])
        level[is_val], taxon[is_val], _ = lowest_sure(probabilities[is_val], levels, fitted[risk])
    rows = []
    for number, taxon_of in enumerate(levels):
        taxa, _ = _top(probabilities, taxon_of)
        is_here = level == number
        promised = None
        if is_here.any():
            hits = taxon[is_here] == taxon_of[labels[is_here]]
            promised = asdict(share_interval(hits, groups[is_here]))
        rows.append(
            {
                "all": asdict(share_interval(taxa == taxon_of[labels], groups)),
                "share": float(is_here.mean()),
                "promised": promised,
            }
        )
    return rows


def _top(probabilities: Floats, taxon_of: Labels) -> tuple[Labels, Floats]:
    """The most probable taxon of each image, and its probability."""
    sums = sum_up(probabilities, taxon_of)
    return sums.argmax(axis=1), sums.max(axis=1)
