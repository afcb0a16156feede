"""Logits, probabilities and labels -> the scores that a run or an evaluation reports."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.ensemble import Average
from bestiary.evaluate.intervals import share_interval


def oof_scores(
    logits: NDArray[np.floating], labels: NDArray[np.int64], folds: NDArray[np.int64], groups: NDArray[np.int64]
) -> dict[str, Any]:
    """Out-of-fold accuracy: each picture judged by the one member that has not seen it.

    Args:
        logits: (pictures, classes), of the member that held each picture out.
        labels: class numbers (pictures,).
        folds: fold of each picture (pictures,).
        groups: group number of each picture (pictures,).

    Returns:
        what metrics.json holds under ``oof``.
    """
    hits = logits.argmax(axis=1) == labels
    per_fold = {int(fold): share_interval(hits[folds == fold], groups[folds == fold]) for fold in np.unique(folds)}
    return {
        "accuracy": asdict(share_interval(hits, groups)),
        "interval": "95 %, Wilson at the effective number of pictures, groups counted once",
        "folds": [{"fold": fold, **asdict(interval)} for fold, interval in per_fold.items()],
        "note": "single members, each on the pictures it has not seen; the ensemble is expected to do better",
    }


def held_out_scores(
    rules: Mapping[Average, NDArray[np.float64]],
    members: Mapping[int, NDArray[np.floating]],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    """Accuracy on pictures that no member has seen.

    Args:
        rules: averaging rule -> probabilities (pictures, classes) of the ensemble.
        members: fold -> logits (pictures, classes) of that fold's member.
        labels: class numbers (pictures,).
        groups: group number of each picture (pictures,).

    Returns:
        accuracy with interval of every rule and member, and the members' mean.
    """
    rows = {rule: share_interval(p.argmax(axis=1) == labels, groups) for rule, p in rules.items()}
    single = {fold: share_interval(logits.argmax(axis=1) == labels, groups) for fold, logits in members.items()}
    return {
        "ensemble": {rule: asdict(interval) for rule, interval in rows.items()},
        "members": [{"fold": fold, **asdict(interval)} for fold, interval in single.items()],
        "mean_member": float(np.mean([interval.value for interval in single.values()])),
    }
