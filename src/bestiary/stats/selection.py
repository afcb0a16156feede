"""Candidates' logits on held-out images -> the best candidate, and cross-fitted logits of it.

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


def crossfit_logits(
    candidates: Mapping[str, Logits],
    labels: Labels,
    groups: Labels,
) -> Logits:
    """Take the logits of the best candidate, in a way whose scores the choice does not flatter.

    The images are split into two halves of whole groups. Each half has the logits of the candidate
    that is best on the other half.

    Args:
        candidates: name -> logits (images, classes).
        labels: class numbers (images,).
        groups: group number of each image (images,).

    Returns:
        Logits (images, classes).
    """
    halves = random_parts(groups, 2, "halves")
    chosen = np.empty_like(next(iter(candidates.values())))
    for half in (0, 1):
        is_val = halves == half
        if not is_val.any():
            continue

        is_fit = is_val if is_val.all() else ~is_val  # a single group is its own other half
        fit_logits = {name: logits[is_fit] for name, logits in candidates.items()}
        chosen[is_val] = candidates[best_of(fit_logits, labels[is_fit])][is_val]
    return chosen
