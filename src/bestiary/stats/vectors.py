"""Vectors -> their coordinates along the main directions, which keep most of what differs."""

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
