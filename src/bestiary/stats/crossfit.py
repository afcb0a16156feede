"""Images -> parts for cross-fitting, and probabilities that other parts' images calibrate.

What is fitted on some images flatters itself on them. So each part is judged by what the other
parts fitted. Parts hold whole groups. Pure functions of arrays.
"""

import numpy as np
from numpy.typing import NDArray

from bestiary.rng import keyed_rng
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import fit_temperature

SINGLE_FOLD_PARTS = 5  # cross-fitting parts of a run with one fold


def crossfit_parts(folds: NDArray[np.int64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    """Split the images into parts for cross-fitting.

    Args:
        folds: fold of each image (images,).
        groups: group number of each image (images,).

    Returns:
        The folds; for a single fold, five random parts of whole groups (images,).
    """
    if folds.min() < folds.max():
        return folds
    return random_parts(groups, SINGLE_FOLD_PARTS, "crossing")


def random_parts(groups: NDArray[np.int64], n_parts: int, purpose: str) -> NDArray[np.int64]:
    """Split the images into random parts of whole groups, about as many groups in each.

    Args:
        groups: group number of each image (images,).
        n_parts: number of parts.
        purpose: for what; each purpose draws for itself, and always the same.

    Returns:
        Part of each image (images,), 0 to `n_parts` - 1.
    """
    _, codes = np.unique(groups, return_inverse=True)
    n_groups = int(codes.max()) + 1
    order = keyed_rng(0, purpose).permutation(n_groups)
    return np.asarray(order[codes] % n_parts)


def crossfit_probabilities(
    logits: NDArray[np.floating],
    labels: NDArray[np.int64],
    parts: NDArray[np.int64],
) -> NDArray[np.float64]:
    """Calibrate each part by the temperature of the other parts.

    Args:
        logits: (images, classes).
        labels: class numbers (images,).
        parts: part of each image (images,), see `crossfit_parts`.

    Returns:
        Probabilities (images, classes).
    """
    probabilities = np.empty(logits.shape)
    for part in np.unique(parts):
        is_val = parts == part
        temperature = fit_temperature(logits[~is_val], labels[~is_val])
        probabilities[is_val] = softmax(logits[is_val] / temperature)
    return probabilities
