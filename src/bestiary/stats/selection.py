"""Candidates' logits on held-out images -> the best candidate, and a cross-fitted accuracy of it.

Picking the best of several flatters its score; two-fold cross-validation of the choice does not
(Stone 1974). Pure functions of arrays.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.crossfit import random_parts
from bestiary.stats.metrics import logit_log_losses

Logits = NDArray[np.floating]  # (images, classes)
Labels = NDArray[np.int64]  # (images,)


def best_of(candidates: Mapping[str, Logits], labels: Labels) -> str:
    """Choose the candidate with the highest accuracy.

    Ties go to the lowest log loss, then to the first.

    Args:
        candidates: name -> logits (images, classes).
        labels: class numbers (images,).

    Returns:
        The candidate's name.
    """

    def merit(name: str) -> tuple[float, float]:
        logits = candidates[name].astype(np.float64)
        hits = logits.argmax(axis=1) == labels
        return float(hits.mean()), -float(logit_log_losses(logits, labels).mean())

    return max(candidates, key=merit)


def crossfit_hits(
    candidates: Mapping[str, Logits],
    labels: Labels,
    groups: Labels,
) -> NDArray[np.bool_]:
    """Score the choice of the best candidate without flattering it.

    The images are split into two halves of whole groups. Each half is predicted by the candidate
    that is best on the other half.

    Args:
        candidates: name -> logits (images, classes).
        labels: class numbers (images,).
        groups: group number of each image (images,).

    Returns:
        Whether each image is right (images,).
    """
    halves = random_parts(groups, 2, "halves")

    # Predict each half by the best candidate of the other
    hits = np.zeros(len(labels), np.bool_)
    for half in (0, 1):
        is_val = halves == half
        if not is_val.any():
            continue

        is_fit = is_val if is_val.all() else ~is_val  # a single group is its own other half
        fit_logits = {name: logits[is_fit] for name, logits in candidates.items()}
        best = best_of(fit_logits, labels[is_fit])

        val_logits = candidates[best][is_val]
        predicted = val_logits.argmax(axis=1)
        hits[is_val] = predicted == labels[is_val]
    return hits
