"""Typed wrappers of the few OpenCV calls that paint the beasts: arrays in, new arrays out.

Everything is float32 unless it says otherwise. Knows pixels; knows nothing of beasts or scenes.
"""

from typing import TypeAlias, cast

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

Floats: TypeAlias = NDArray[np.float32]
Bytes: TypeAlias = NDArray[np.uint8]

NO_DISCS = np.zeros((0, 3), np.float32)
NO_OUTLINE = np.zeros((0, 2), np.float32)

_SHIFT = 4
"""Fractional bits of a vertex in OpenCV: edges move smoothly, not by whole pixels."""


def floats(values: ArrayLike) -> Floats:
    """Convert numbers, nested to any depth, to a float32 array."""
    return np.asarray(values, np.float32)


def blur(image: Floats, sigma: float) -> Floats:
    """Blur with a Gaussian.

    Args:
        image: (h, w) or (h, w, c).
        sigma: in pixels; below 0.3 the image is returned unchanged.

    Returns:
        The image.
    """
    if sigma < 0.3:
        return image
    return cast(Floats, cv2.GaussianBlur(image, (0, 0), sigma, borderType=cv2.BORDER_REPLICATE))


def resize(image: Floats, height: int, width: int, *, shrink: bool = False) -> Floats:
    """Resize an image.

    Args:
        image: (h, w) or (h, w, c).
        height: new height.
        width: new width.
        shrink: True for area means, False for cubic interpolation.

    Returns:
        The image.
    """
    how = cv2.INTER_AREA if shrink else cv2.INTER_CUBIC
    return cast(Floats, cv2.resize(image, (width, height), interpolation=how))


def warp(image: Floats, matrix: Floats, height: int, width: int, *, mirror: bool = False) -> Floats:
    """Move an image by an affine map.

    Args:
        image: (h, w) or (h, w, c).
        matrix: float32 (2, 3), source to target.
        height: height of the target.
        width: width of the target.
        mirror: what is outside the source: False for 0, True for its mirror image.

    Returns:
        The image.
    """
    border = cv2.BORDER_REFLECT_101 if mirror else cv2.BORDER_CONSTANT
    return cast(
        Floats,
        cv2.warpAffine(image, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=border),
    )


def gradient(height: Floats) -> tuple[Floats, Floats]:
    """Compute the slopes of a height field (h, w) along x and along y, per pixel."""
    slope_x = cv2.Sobel(height, cv2.CV_32F, 1, 0, ksize=3, scale=0.125)
    slope_y = cv2.Sobel(height, cv2.CV_32F, 0, 1, ksize=3, scale=0.125)
    return cast(Floats, slope_x), cast(Floats, slope_y)


def depth_inside(mask: Bytes) -> Floats:
    """Compute the distance to the outside, in pixels, for each pixel of a mask.

    Args:
        mask: uint8 (h, w); inside is over 127.

    Returns:
        float32 (h, w).
    """
    _, solid = cv2.threshold(mask, 127, 255, cv2.THRESH_BINARY)
    return cast(Floats, cv2.distanceTransform(solid, cv2.DIST_L2, 3))


def fill(mask: Bytes, outline: Floats, discs: Floats) -> None:
    """Fill an outline and discs with 255, with smooth edges.

    Args:
        mask: uint8 (h, w), changed in place.
        outline: (n, 2) in pixels.
        discs: (m, 3): x, y, radius, in pixels.
    """
    scale = 1 << _SHIFT
    if len(outline):
        cv2.fillPoly(mask, [np.round(outline * scale).astype(np.int32)], 255, cv2.LINE_AA, _SHIFT)
    for x, y, radius in np.round(discs * scale).astype(int).tolist():
        cv2.circle(mask, (x, y), radius, 255, -1, cv2.LINE_AA, _SHIFT)


def blend(image: Floats, mask: Bytes, color: Floats, opacity: float = 1.0) -> None:
    """Mix a color into an image where a mask covers it.

    Args:
        image: (h, w, 3), changed in place.
        mask: uint8 (h, w).
        color: float32 (3,).
        opacity: 0 to 1, of a mask of 255.
    """
    weight = (mask.astype(np.float32) * np.float32(opacity / 255))[..., None]
    image += (color - image) * weight


def stroke(mask: Bytes, lines: list[Floats], width: float) -> None:
    """Draw open lines with 255; a width below one pixel makes them fainter.

    Args:
        mask: uint8 (h, w), changed in place.
        lines: each (n, 2) in pixels.
        width: in pixels.
    """
    vertices = [np.round(line * (1 << _SHIFT)).astype(np.int32) for line in lines]
    shade = int(255 * min(1.0, max(width, 0.25)))
    cv2.polylines(mask, vertices, False, shade, max(1, round(width)), cv2.LINE_AA, _SHIFT)


def noise(
    rng: np.random.Generator, height: int, width: int, cells_y: float, cells_x: float
) -> Floats:
    """Draw smooth value noise, about -1 to 1.

    Args:
        rng: draws the values.
        height: rows.
        width: columns.
        cells_y: cells from top to bottom.
        cells_x: cells from left to right.

    Returns:
        float32 (height, width).
    """
    rows = max(2, round(cells_y) + 1)
    columns = max(2, round(cells_x) + 1)
    return resize(rng.uniform(-1, 1, (rows, columns)).astype(np.float32), height, width)


def clouds(
    rng: np.random.Generator, height: int, width: int, cells_y: float, cells_x: float
) -> Floats:
    """Draw three octaves of `noise`, about -1 to 1; arguments as there."""
    total = noise(rng, height, width, cells_y, cells_x)
    for octave in (2, 4):
        total += noise(rng, height, width, cells_y * octave, cells_x * octave) / np.float32(octave)
    return cast(Floats, total / np.float32(1.4))
