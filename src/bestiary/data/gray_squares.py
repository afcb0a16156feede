"""Gray squares: what several comparisons of images do with them. Knows nothing of files."""

import cv2
import numpy as np
from numpy.typing import NDArray

Gray = NDArray[np.float32]  # (side, side)


def shrink(square: NDArray[np.generic], side: int) -> Gray:
    """Shrink a square by averaging.

    Args:
        square: Gray square, uint8 or float32.
        side: Of the result, in pixels.

    Returns:
        float32 array (side, side), in the levels of `square`.
    """
    small = cv2.resize(square, (side, side), interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def correlate(a: Gray, b: Gray) -> float:
    """Correlate two squares of one size, -1 to 1; 0 if one of them is of a single level."""
    centered_a = a - a.mean()
    centered_b = b - b.mean()
    power = np.vdot(centered_a, centered_a) * np.vdot(centered_b, centered_b)
    return float(np.vdot(centered_a, centered_b) / np.sqrt(power + 1))


def block_means(values: Gray, side: int) -> Gray:
    """Average the blocks of a square.

    Args:
        values: The square.
        side: Side of a block in pixels; divides that of the square.

    Returns:
        One mean for each block (blocks, blocks).
    """
    blocks = len(values) // side
    by_block = values.reshape(blocks, side, blocks, side)
    return np.asarray(by_block.mean(axis=(1, 3)))
