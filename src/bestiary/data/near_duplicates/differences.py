"""A compared pair -> how its two images differ, in words: mirrored, cropped to 82 %, darker.

Knows nothing of files.
"""

import math

import numpy as np

from bestiary.data.near_duplicates.views import FLIP, Affine, compose, is_mirrored

MIN_TURN_DEGREES = 1.5  # smaller rotations are not named
MAX_WHOLE_SHARE = 0.97  # a larger part of the image is the whole
MIN_OFFSET = 8.0  # levels of brightness that are named
MIN_GAIN = 1.12  # of contrast

Size = tuple[int, int]  # height, width


def describe_differences(
    affine: Affine, gain: float, offset: float, size: Size, duplicate_size: Size
) -> str:
    """Say how a duplicate differs from the image.

    Args:
        affine: The map from the duplicate's unit square to the image's.
        gain: Contrast of the duplicate over that of the image.
        offset: Mean brightness of the duplicate less that of the image, in levels.
        size: Of the image in pixels.
        duplicate_size: Of the duplicate in pixels.

    Returns:
        Words in the order in which the duplicate would be made; empty if nothing is named.
    """
    words = []
    if is_mirrored(affine):
        words.append("mirrored")
        affine = compose(affine, FLIP)
    words += _turn_words(affine, size, duplicate_size)
    words += _part_words(affine)
    if abs(offset) >= MIN_OFFSET:
        words.append("brighter" if offset > 0 else "darker")
    if max(gain, 1 / gain) >= MIN_GAIN:
        words.append("more contrast" if gain > 1 else "less contrast")
    if size != duplicate_size:
        words.append(f"{duplicate_size[1]} x {duplicate_size[0]} pixels")
    return ", ".join(words)


def _turn_words(affine: Affine, size: Size, duplicate_size: Size) -> list[str]:
    """Name the rotation, in the pixels of both images."""
    height, width = size
    across = np.array([affine[0, 0] * width, affine[1, 0] * height]) / duplicate_size[1]
    degrees = -math.degrees(math.atan2(across[1], across[0]))
    if abs(degrees) < MIN_TURN_DEGREES:
        return []
    return [f"turned by {degrees:.0f}°"]


def _part_words(affine: Affine) -> list[str]:
    """Name the part of the image that the duplicate shows, or the frame around it."""
    corners = np.array([[0, 0, 1], [1, 0, 1], [0, 1, 1], [1, 1, 1]], float) @ affine.T
    low = corners.min(axis=0)
    high = corners.max(axis=0)
    shown = np.clip(high, 0, 1) - np.clip(low, 0, 1)
    words = []
    if shown.min() < MAX_WHOLE_SHARE:
        words.append(f"cropped to {100 * shown[0]:.0f} % x {100 * shown[1]:.0f} %")
    if (high - low).max() > 1 / MAX_WHOLE_SHARE:
        words.append("with a frame or more around")
    return words
