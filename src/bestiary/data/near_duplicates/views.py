"""Views of an image that a near duplicate of it may show: windows, quarter turns, slight rotations.

A view is an affine map from the unit square of a near duplicate to the unit square of the image.
Mirror images are no views of their own: a hash tells them by `hashes.MIRROR`. Knows nothing of
hashes and pixels.
"""

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Affine = NDArray[np.float64]  # (2, 3)


class Window(NamedTuple):
    """A part of an image, its borders as shares of the width and height."""

    left: float
    right: float
    top: float
    bottom: float


def _grid(side: float, steps: int, margin: float = 0.0) -> list[Window]:
    """Windows of one size, spread evenly over the image, `steps` in each direction."""
    offsets = np.linspace(margin, 1 - side - margin, steps).tolist()
    return [Window(x, x + side, y, y + side) for y in offsets for x in offsets]


WHOLE = Window(0.0, 1.0, 0.0, 1.0)
WINDOWS = (
    WHOLE,
    Window(0.05, 0.95, 0.05, 0.95),
    *_grid(0.9, 2, 0.015),
    *_grid(0.82, 3, 0.01),
    *_grid(0.74, 4, 0.01),
    *_grid(0.67, 5, 0.01),
)
"""The whole image, then what crops leave of it, to about two thirds of a side."""

TURNS = (1, 2, 3)  # quarter turns
ROTATIONS = (-6.5, 6.5)  # degrees; halfway to the largest rotation that is looked for, and more

N_WINDOWS = len(WINDOWS)
FIRST_TURN = N_WINDOWS
FIRST_ROTATION = FIRST_TURN + len(TURNS)
CONTENT_BOX = FIRST_ROTATION + len(ROTATIONS)
N_VIEWS = CONTENT_BOX + 1
"""Index after the last view. The content box is what a uniform frame leaves, another for each
image.
"""


def window_map(window: Window) -> Affine:
    """The map to a window of the image."""
    left, right, top, bottom = window
    return np.array(
        [
            [right - left, 0, left],
            [0, bottom - top, top],
        ]
    )


def rotation_map(degrees: float) -> Affine:
    """The map that rotates about the middle of the image."""
    angle = math.radians(degrees)
    cosine = math.cos(angle)
    sine = math.sin(angle)
    return np.array(
        [
            [cosine, -sine, (1 - cosine + sine) / 2],
            [sine, cosine, (1 - cosine - sine) / 2],
        ]
    )


def turn_map(quarters: int) -> Affine:
    """The map to the image turned by quarter turns."""
    return np.round(rotation_map(90 * quarters), 12)


FLIP = np.array([[-1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
"""The map that mirrors left and right."""


def compose(outer: Affine, inner: Affine) -> Affine:
    """The map that applies `inner` first and `outer` to its result."""
    linear = outer[:, :2] @ inner[:, :2]
    offset = outer[:, :2] @ inner[:, 2] + outer[:, 2]
    return np.column_stack([linear, offset])


def invert(affine: Affine) -> Affine:
    """The map in the other direction."""
    linear = np.linalg.inv(affine[:, :2])
    return np.column_stack([linear, -linear @ affine[:, 2]])


def is_mirrored(affine: Affine) -> bool:
    """Whether a map turns an image over."""
    return bool(np.linalg.det(affine[:, :2]) < 0)


def flip_if(is_flipped: bool, affine: Affine) -> Affine:
    """The map that mirrors first where the partner is a mirror image."""
    return compose(affine, FLIP) if is_flipped else affine


def view_map(view: int, content_box: Window) -> Affine:
    """The map of a view.

    Args:
        view: Index of the view, 0 to `N_VIEWS` - 1.
        content_box: What a uniform frame leaves of this image.
    """
    if view < FIRST_TURN:
        return window_map(WINDOWS[view])
    if view < FIRST_ROTATION:
        return turn_map(TURNS[view - FIRST_TURN])
    if view < CONTENT_BOX:
        return rotation_map(ROTATIONS[view - FIRST_ROTATION])
    return window_map(content_box)
