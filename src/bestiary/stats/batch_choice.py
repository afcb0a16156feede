"""Vectors and doubts of unlabeled images -> the ones to label next: unsure, new and spread out.

Greedy k-centers (Sener and Savarese 2018, arXiv:1708.00489), each distance times the doubt. What
lies close to a labeled or a chosen image has a distance of about 0, so near duplicates are not
chosen. Knows nothing of images or networks.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def doubts(probabilities: Floats) -> Floats:
    """Compute the doubt of answers (images,): 1 less the lead of the first class, 0 to 1.

    Args:
        probabilities: (images, classes), at least two classes.

    Example:
        >>> doubts(np.array([[0.5, 0.5, 0.0], [0.9, 0.1, 0.0]])).round(2).tolist()
        [1.0, 0.2]
    """
    ordered = np.sort(probabilities, axis=1)
    return np.asarray(1 - (ordered[:, -1] - ordered[:, -2]))


def choose_batch(
    vectors: NDArray[np.floating],
    doubt: Floats,
    labeled: NDArray[np.floating],
    count: int,
) -> NDArray[np.int64]:
    """Choose the images to label next.

    Args:
        vectors: of the unlabeled images (images, features).
        doubt: of each (images,), 0 to 1.
        labeled: vectors of the labeled images (labeled, features).
        count: how many to choose.

    Returns:
        Their indices, the most wanted first (at most `count`,).

    Example:
        >>> choose_batch(np.array([[0.0], [5.0], [5.1]]), np.ones(3), np.zeros((1, 1)), 2).tolist()
        [2, 1]
    """
    nearest = np.full(len(vectors), np.inf)
    for start in range(0, len(labeled), 1_000):
        distances = _distances(vectors, labeled[start : start + 1_000])
        nearest = np.minimum(nearest, distances.min(axis=1))
    chosen: list[int] = []
    is_left = np.ones(len(vectors), np.bool_)
    for _ in range(min(count, len(vectors))):
        best = int(np.where(is_left, doubt * nearest, -1.0).argmax())
        chosen.append(best)
        is_left[best] = False
        nearest = np.minimum(nearest, _distances(vectors, vectors[best][None])[:, 0])
    return np.array(chosen, np.int64)


def _distances(first: NDArray[np.floating], second: NDArray[np.floating]) -> Floats:
    """Distances of every pair (first, second)."""
    squares = (first**2).sum(axis=1)[:, None] + (second**2).sum(axis=1) - 2 * first @ second.T
    return np.asarray(np.sqrt(np.maximum(squares, 0.0)))
