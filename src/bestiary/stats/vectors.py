"""Vectors -> their coordinates along the main directions, and their sums by class."""

import numpy as np
from numpy.typing import NDArray


def main_directions(vectors: NDArray[np.float32], dimensions: int) -> NDArray[np.float32]:
    """Project on the directions of the largest spread (principal components).

    Args:
        vectors: (n, features).
        dimensions: at most so many are kept.

    Returns:
        Coordinates (n, at most `dimensions`), around their mean.

    Example:
        >>> main_directions(np.eye(4, dtype=np.float32), 2).shape
        (4, 2)
    """
    centered = vectors - vectors.mean(axis=0)
    _, directions = np.linalg.eigh(centered.T @ centered)
    return np.asarray(centered @ directions[:, -dimensions:])


def class_sums(
    vectors: NDArray[np.floating], codes: NDArray[np.int64], classes: int
) -> NDArray[np.float64]:
    """Add up the vectors of each class, in float64.

    A class at a time: `np.add.at` takes 50 times as long, and a product with one column a class
    takes images x classes of memory.

    Args:
        vectors: (n, features).
        codes: class of each, (n,), from 0 to `classes` - 1.
        classes: number of classes.

    Returns:
        Sums (classes, features), zero for a class without vectors.

    Example:
        >>> class_sums(np.ones((3, 2)), np.array([0, 0, 2]), 3)[:, 0]
        array([2., 0., 1.])
    """
    order = np.argsort(codes, kind="stable")
    ends = np.cumsum(np.bincount(codes, minlength=classes))
    sums = np.zeros((classes, vectors.shape[1]))
    for number, rows in enumerate(np.split(order, ends[:-1])):
        sums[number] = vectors[rows].sum(axis=0, dtype=np.float64)
    return sums
