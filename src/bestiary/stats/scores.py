"""Logits, probabilities and labels -> the scores that a run or an evaluation reports."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.rng import keyed_rng
from bestiary.stats.averaging import Average, softmax
from bestiary.stats.bootstrap import score_intervals
from bestiary.stats.calibration import fit_temperature
from bestiary.stats.ensemble_gain import ensemble_estimate
from bestiary.stats.intervals import share_interval
from bestiary.stats.metrics import class_scores, confusion


def oof_scores(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    folds: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    """Out-of-fold scores: each image judged by the one member that has not seen it.

    Args:
        logits: (images, classes), of the member that held each image out.
        labels: class numbers (images,).
        folds: fold of each image (images,).
        groups: group number of each image (images,).

    Returns:
        what metrics.json holds under ``oof``.
    """
    hits = logits.argmax(axis=1) == labels
    per_fold = {
        int(fold): share_interval(hits[folds == fold], groups[folds == fold])
        for fold in np.unique(folds)
    }
    raw = score_intervals(softmax(logits), labels, groups)
    calibrated = score_intervals(
        crossfit_probabilities(logits, labels, crossfit_parts(folds, groups)), labels, groups
    )
    return {
        "accuracy": asdict(share_interval(hits, groups)),
        "interval": "95 %, Wilson at the effective number of images, groups counted once",
        "folds": [{"fold": fold, **asdict(interval)} for fold, interval in per_fold.items()],
        "note": "single members, each on the images it has not seen; the ensemble is expected to "
        "do better",
        "scores": {name: asdict(score) for name, score in raw.items()},
        "calibrated": {name: asdict(calibrated[name]) for name in ("log_loss", "brier", "ece")},
        "intervals": "95 %, 1,000 draws of whole groups; calibrated: by the temperature that the "
        "other folds set",
        "ensemble": asdict(ensemble_estimate(hits, groups, len(per_fold))),
    }


def crossfit_parts(folds: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """The parts (images,) that cross-fitting goes over: the folds, or of a single one five parts
    of whole groups.
    """
    if folds.min() < folds.max():
        return folds
    _, codes = np.unique(groups, return_inverse=True)
    return np.asarray(keyed_rng(0, "crossing").permutation(int(codes.max()) + 1)[codes] % 5)


def crossfit_probabilities(
    logits: NDArray[np.floating], labels: NDArray[np.int64], parts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Probabilities (images, classes), each part's by the temperature fitted on the other parts'
    `logits`.
    """
    probabilities = np.empty(logits.shape)
    for part in np.unique(parts):
        held = parts == part
        probabilities[held] = softmax(logits[held] / fit_temperature(logits[~held], labels[~held]))
    return probabilities


def class_table(
    predicted: NDArray[np.int64], labels: NDArray[np.int64], groups: NDArray[np.int64], classes: int
) -> list[dict[str, Any]]:
    """Precision, recall (each with its interval), F1 and support of every class, in the order of
    the classes.
    """
    scores, hits, rows = (
        class_scores(confusion(predicted, labels, classes)),
        predicted == labels,
        [],
    )
    for number in range(classes):
        of_class, taken = labels == number, predicted == number
        rows.append(
            {
                "recall": asdict(share_interval(hits[of_class], groups[of_class]))
                if of_class.any()
                else None,
                "precision": asdict(share_interval(hits[taken], groups[taken]))
                if taken.any()
                else None,
                "f1": float(scores.f1[number]),
                "support": int(scores.support[number]),
            }
        )
    return rows


def held_out_scores(
    rules: Mapping[Average, NDArray[np.float64]],
    members: Mapping[int, NDArray[np.floating]],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    """Accuracy on images that no member has seen.

    Args:
        rules: averaging rule -> probabilities (images, classes) of the ensemble.
        members: fold -> logits (images, classes) of that fold's member.
        labels: class numbers (images,).
        groups: group number of each image (images,).

    Returns:
        accuracy with interval of every rule and member, and the members' mean.
    """
    rows = {rule: share_interval(p.argmax(axis=1) == labels, groups) for rule, p in rules.items()}
    single = {
        fold: share_interval(logits.argmax(axis=1) == labels, groups)
        for fold, logits in members.items()
    }
    return {
        "ensemble": {rule: asdict(interval) for rule, interval in rows.items()},
        "members": [{"fold": fold, **asdict(interval)} for fold, interval in single.items()],
        "mean_member": float(np.mean([interval.value for interval in single.values()])),
    }
