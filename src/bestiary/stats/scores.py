"""Logits, probabilities and labels -> the scores that metrics.json and an evaluation report.

Puts metrics, intervals and cross-fitted calibration into dictionaries for JSON. Knows nothing of
runs or networks.
"""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.recipe.choices import Average
from bestiary.stats.averaging import softmax
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.crossfit import crossfit_parts, crossfit_probabilities
from bestiary.stats.ensemble_gain import ensemble_estimate
from bestiary.stats.intervals import share_interval
from bestiary.stats.metrics import class_scores, confusion

CALIBRATED_SCORES = ("log_loss", "brier", "ece")  # the scores that a temperature changes


def oof_scores(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    groups: NDArray[np.int64],
    members: int,
) -> dict[str, Any]:
    """Compute the out-of-fold scores of a run.

    Args:
        logits: (images, classes), each image's from the one member that was not trained on it.
        labels: class numbers (images,).
        folds: fold of each image (images,).
        groups: group number of each image (images,).
        members: number of members; a fold that chose the recipe has one, and no image here.

    Returns:
        What metrics.json stores under ``oof``.
    """
    hits = logits.argmax(axis=1) == labels
    accuracy = share_interval(hits, groups)
    fold_rows = _fold_accuracies(hits, folds, groups)
    estimate = ensemble_estimate(hits, groups, members)

    # Scores of raw probabilities, and of those calibrated by the other folds
    raw = score_intervals(softmax(logits), labels, groups)
    parts = crossfit_parts(folds, groups)
    probabilities = crossfit_probabilities(logits, labels, parts)
    calibrated = score_intervals(probabilities, labels, groups)

    return {
        "accuracy": asdict(accuracy),
        "interval": "95 %, Wilson at the effective number of images, groups counted once",
        "folds": fold_rows,
        "note": "single members, each on the images it has not seen; the ensemble is expected to "
        "do better",
        "scores": {name: asdict(score) for name, score in raw.items()},
        "calibrated": {name: asdict(calibrated[name]) for name in CALIBRATED_SCORES},
        "intervals": "95 %, 1,000 draws of whole groups; calibrated: by the temperature that the "
        "other folds set",
        "ensemble": asdict(estimate),
    }


def _fold_accuracies(
    hits: NDArray[np.bool_],
    folds: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> list[dict[str, Any]]:
    """Compute the accuracy of each fold with its interval."""
    rows = []
    for fold in np.unique(folds):
        is_val = folds == fold
        interval = share_interval(hits[is_val], groups[is_val])
        rows.append({"fold": int(fold), **asdict(interval)})
    return rows


def class_table(
    predicted: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    classes: int,
) -> list[dict[str, Any]]:
    """Compute the scores of every class.

    Args:
        predicted: predicted class numbers (images,).
        labels: class numbers (images,).
        groups: group number of each image (images,).
        classes: number of classes.

    Returns:
        For each class: recall and precision (with interval, or None without images), f1, support.
    """
    counts = confusion(predicted, labels, classes)
    scores = class_scores(counts)
    hits = predicted == labels
    rows = []
    for number in range(classes):
        row = {
            "recall": _share_of(hits, groups, labels == number),
            "precision": _share_of(hits, groups, predicted == number),
            "f1": float(scores.f1[number]),
            "support": int(scores.support[number]),
        }
        rows.append(row)
    return rows


def held_out_scores(
    rules: Mapping[Average, NDArray[np.float64]],
    members: Mapping[int, NDArray[np.floating]],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    """Compute accuracies on images that no member was trained on.

    Args:
        rules: averaging rule -> probabilities (images, classes) of the ensemble.
        members: fold -> logits (images, classes) of that fold's member.
        labels: class numbers (images,).
        groups: group number of each image (images,).

    Returns:
        Accuracy with interval of every rule and member, and the members' mean.
    """
    ensemble = {}
    for rule, probabilities in rules.items():
        hits = probabilities.argmax(axis=1) == labels
        ensemble[rule] = asdict(share_interval(hits, groups))

    member_rows = []
    for fold, logits in members.items():
        hits = logits.argmax(axis=1) == labels
        interval = share_interval(hits, groups)
        member_rows.append({"fold": fold, **asdict(interval)})

    member_accuracies = [row["value"] for row in member_rows]
    return {
        "ensemble": ensemble,
        "members": member_rows,
        "mean_member": float(np.mean(member_accuracies)),
    }


def _share_of(
    hits: NDArray[np.bool_],
    groups: NDArray[np.int64],
    is_counted: NDArray[np.bool_],
) -> dict[str, Any] | None:
    """Compute the share of hits among the images that count; None where there are none."""
    if not is_counted.any():
        return None
    interval = share_interval(hits[is_counted], groups[is_counted])
    return asdict(interval)
