"""Points and radii -> smooth closed outlines: the limbs, bodies, fins and leaves of a beast.

All lengths are in beast units (a body is about one long), x to the front, y down. Knows nothing of
pixels, colors or what the outlines mean.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TypeAlias

import numpy as np

from bestiary.beasts.raster import NO_DISCS, Floats, floats

Point: TypeAlias = tuple[float, float]

DOWN = np.pi / 2
"""Angle of the direction down in radians."""

_TURN = np.linspace(0, 2 * np.pi, 32, endpoint=False)
_CIRCLE: Floats = np.column_stack([np.cos(_TURN), np.sin(_TURN)]).astype(np.float32)
_ALONG: Floats = np.linspace(0, 1, 12, dtype=np.float32)[:, None]


@dataclass(frozen=True, slots=True)
class Shape:
    """A filled outline, united with discs.

    Attributes:
        outline: float32 (n, 2), closed.
        discs: float32 (m, 3): x, y, radius; they round the ends and fill the folds of a bent
            outline.
    """

    outline: Floats
    discs: Floats


def curve(points: Sequence[Point] | Floats, samples: int = 24) -> Floats:
    """Sample a smooth line (Catmull-Rom) through points.

    Args:
        points: the points.
        samples: number of rows.

    Returns:
        float32 (samples, 2).
    """
    return _spline(np.asarray(points, np.float32), samples)


def _spline(knots: Floats, samples: int) -> Floats:
    """`samples` rows on the Catmull-Rom spline through the rows of `knots` (n, d)."""
    return _basis(len(knots), samples) @ knots


@lru_cache(maxsize=256)
def _basis(knots: int, samples: int) -> Floats:
    """The matrix (samples, knots) from knots to points on their Catmull-Rom spline."""
    own = np.eye(knots)
    padded = np.vstack([2 * own[:1] - own[1:2], own, 2 * own[-1:] - own[-2:-1]])
    place = np.linspace(0, knots - 1, samples)
    start = np.minimum(place.astype(int), knots - 2)
    t = (place - start)[:, None]
    a, b, c, d = (padded[start + k] for k in range(4))
    line = 0.5 * (
        2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3
    )
    return np.asarray(line, np.float32)


@lru_cache(maxsize=256)
def _spread(values: int, samples: int) -> Floats:
    """The matrix (samples, values) that interpolates values linearly along a line."""
    places = np.linspace(0, values - 1, samples)
    hats = np.maximum(0, 1 - np.abs(places[:, None] - np.arange(values)))
    return np.asarray(hats, np.float32)


def sweep(points: Sequence[Point] | Floats, radii: Sequence[float], samples: int = 22) -> Shape:
    """Outline a ball whose radius changes while it moves along a smooth line.

    Args:
        points: two or more centers.
        radii: one radius for each point, or any number of them spread evenly along the line.
        samples: rows of the line.

    Returns:
        The shape.
    """
    knots = np.asarray(points, np.float32)
    given = np.asarray(radii, np.float32)[:, None]
    basis = _basis(len(knots), samples)
    line = basis @ knots
    radius = np.maximum(basis @ (_spread(len(given), len(knots)) @ given), np.float32(0.002))
    ahead = np.empty_like(line)
    ahead[1:-1] = line[2:] - line[:-2]
    ahead[0] = line[1] - line[0]
    ahead[-1] = line[-1] - line[-2]
    ahead /= np.maximum(np.hypot(ahead[:, :1], ahead[:, 1:]), np.float32(1e-6))
    side = ahead[:, ::-1] * floats([-1, 1]) * radius
    outline = np.concatenate([line + side, (line - side)[::-1]])
    joined = np.concatenate([line, radius], axis=1)
    return Shape(outline, np.concatenate([joined[:1], joined[3:-1:3], joined[-1:]]))


def oval(x: float, y: float, radius_x: float, radius_y: float, angle: float = 0.0) -> Shape:
    """Outline an ellipse; `angle` in radians turns it clockwise on the page."""
    flat = _CIRCLE * floats([radius_x, radius_y])
    return Shape((rotated(flat, angle) if angle else flat) + floats([x, y]), NO_DISCS)


def disc(x: float, y: float, radius: float) -> Shape:
    """Outline a circle."""
    return Shape(np.zeros((0, 2), np.float32), np.array([[x, y, radius]], np.float32))


def leaf(base: Point, tip: Point, width: float, bend: float = 0.0, blunt: float = 0.5) -> Shape:
    """Outline a blade from `base` to `tip`: an ear, a feather, a fin, a spine.

    Args:
        base: the root.
        tip: the pointed end.
        width: greatest width.
        bend: sideways bow as a share of the length; positive bows to the right of base-to-tip.
        blunt: position (0-1) of the greatest width.

    Returns:
        The shape.
    """
    dx = tip[0] - base[0]
    dy = tip[1] - base[1]
    length = max(math.hypot(dx, dy), 1e-6)
    across = floats([-dy / length, dx / length])
    bow = np.float32(4 * bend * length) * _ALONG * (1 - _ALONG)
    middle = floats(base) + floats([dx, dy]) * _ALONG + across * bow
    half = across * (np.float32(width / 2) * _blade_profile(blunt))
    return Shape(np.concatenate([middle + half, (middle - half)[::-1]]), NO_DISCS)


@lru_cache(maxsize=64)
def _blade_profile(blunt: float) -> Floats:
    """The half-widths (12, 1) of a blade, 0 to 1, greatest at `blunt`."""
    rising = _ALONG / max(blunt, 1e-3)
    falling = (1 - _ALONG) / max(1 - blunt, 1e-3)
    return np.asarray(
        np.sin(np.where(blunt > _ALONG, rising, falling) * np.pi / 2) ** 0.8, np.float32
    )


def closed(points: Sequence[Point] | Floats, samples: int = 40) -> Shape:
    """Outline a smooth closed shape.

    Args:
        points: points in order around the shape.
        samples: about so many rows.

    Returns:
        The shape.
    """
    knots = np.asarray(points, np.float32)
    ring = np.vstack([knots[-2:], knots, knots[:3]])
    line = _spline(ring, (len(ring) - 1) * max(2, samples // len(knots)))
    each = len(line) / (len(ring) - 1)
    return Shape(line[round(2 * each) : round((2 + len(knots)) * each)], NO_DISCS)


def rotated(points: Floats, angle: float, about: Point = (0.0, 0.0)) -> Floats:
    """Rotate points.

    Args:
        points: float32 (n, 2).
        angle: radians, clockwise on the page.
        about: center of the rotation.

    Returns:
        float32 (n, 2).
    """
    cosine = np.cos(angle)
    sine = np.sin(angle)
    center = floats(about)
    return ((points - center) @ floats([[cosine, sine], [-sine, cosine]]) + center).astype(
        np.float32
    )


def reach(base: Point, length: float, angle: float) -> Point:
    """Go `length` from `base` at `angle` radians; 0 is forwards, pi/2 is down."""
    return base[0] + length * math.cos(angle), base[1] + length * math.sin(angle)


def between(low: float, high: float, share: float) -> float:
    """Interpolate between `low` (share 0) and `high` (share 1)."""
    return low + (high - low) * share
