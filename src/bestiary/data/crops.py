"""A box and the pixels of its image -> the square that is a sample: the box with a margin.

Animals of all sizes then fill their samples alike, and what lies around them does not count. Knows
nothing of files.
"""

import math

import numpy as np
from numpy.typing import NDArray

from bestiary.storage.boxes import Box

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

MARGIN = 0.1
"""Of the longer side of a box, added on each side: detectors cut tails and ears. A digest of a
sample has its box, not the margin; a change of it changes what a digest stands for."""


def crop_bounds(box: Box, height: int, width: int) -> tuple[int, int, int, int]:
    """Compute the square around a box.

    It lies within the image: near an edge it is moved, and where the image is too small for it, it
    is as high or as wide as the image.

    Args:
        box: Shares of the image.
        height: Of the image in pixels.
        width: Of the image in pixels.

    Returns:
        Top, left, height and width in pixels.

    Example:
        >>> crop_bounds(Box(0.4, 0.4, 0.2, 0.1), 100, 200)
        (21, 76, 48, 48)
    """
    side = max(box.width * width, box.height * height) * (1 + 2 * MARGIN)
    top, crop_height = _bounds((box.y + box.height / 2) * height, side, height)
    left, crop_width = _bounds((box.x + box.width / 2) * width, side, width)
    return top, left, crop_height, crop_width


def _bounds(center: float, side: float, length: int) -> tuple[int, int]:
    """Start and length in pixels of `side` around a center, within 0 to `length`."""
    n_pixels = min(length, max(1, round(side)))
    start = round(center - n_pixels / 2)
    return min(max(start, 0), length - n_pixels), n_pixels


def crop(pixels: Pixels, box: Box) -> Pixels:
    """Cut a box with its margin out of an image.

    Args:
        pixels: The upright image, uint8 (height, width, 3).
        box: Shares of the image.

    Returns:
        uint8 array, contiguous.
    """
    top, left, height, width = crop_bounds(box, *pixels.shape[:2])
    return np.ascontiguousarray(pixels[top : top + height, left : left + width])


def whole_side(min_side: int, box: Box) -> int:
    """The short side that a whole image must have for its crop to have one of `min_side` pixels.

    Args:
        min_side: 0: at full size, and so is the result.
        box: Shares of the image.
    """
    return math.ceil(min_side / max(box.width, box.height))
