"""Candidates' logits for held-out images -> which to keep, and hits that the choice does not
flatter.

Pure functions of arrays.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from bestiary.rng import keyed_rng

Logits = NDArray[np.floating]  # (images, classes)
Labels = NDArray[np.int64]  # (images,)


def best_of(candidates: Mapping[str, Logits], labels: Labels) -> str:
    """The candidate that is most often right, of equals the one with the least log loss, else
    the first.
    """
    rows = np.arange(len(labels))

    def merit(name: str) -> tuple[float, float]:
        logits = candidates[name].astype(np.float64)
        return float((logits.argmax(axis=1) == labels).mean()), float(
            log_softmax(logits, axis=1)[rows, labels].mean()
        )

    return max(candidates, key=merit)


def cross_chosen(
    candidates: Mapping[str, Logits], labels: Labels, groups: Labels
) -> NDArray[np.bool_]:
    """Whether each image is right by the candidate that the other half of the images prefers
    (images,).

    The best of several is partly the luckiest; chosen by other images it is not (two-fold
    cross-validation of the choice: Stone 1974). Halves are of whole groups.
    """
    _, codes = np.unique(groups, return_inverse=True)
    half = keyed_rng(0, "halves").permutation(int(codes.max()) + 1)[codes] % 2
    hits = np.zeros(len(labels), np.bool_)
    for side in (0, 1):
        mine, others = half == side, half != side
        if mine.any():
            judges = others if others.any() else mine
            kept = best_of(
                {name: logits[judges] for name, logits in candidates.items()}, labels[judges]
            )
            hits[mine] = candidates[kept][mine].argmax(axis=1) == labels[mine]
    return hits
