"""Coat -> a texture tile: the weight of the marks and the grain at each place of a beast.

A tile covers the square from -1.6 to 1.6 beast units. Knows nothing of the beast's outline;
`shading` lays the tile over the parts.
"""

from collections.abc import Callable

import cv2
import numpy as np

from bestiary.beasts.raster import Bytes, Floats, blur, clouds, fill, floats, noise, warp
from bestiary.beasts.species import Coat

TILE = 224
"""Side of a tile in pixels."""
HALF = 1.6
"""Half the side of a tile in beast units."""

_Painter = Callable[[np.random.Generator, float, float], Floats]


def paint_tile(coat: Coat, rng: np.random.Generator) -> Floats:
    """Paint the pattern of a coat.

    Args:
        coat: pattern, scale, cover and strength.
        rng: draws the variation of an individual.

    Returns:
        float32 (TILE, TILE, 2): the weight of the marks, 0 to 1, and the grain as a factor near 1.
    """
    marks = _PAINTERS[coat.pattern](rng, coat.scale * float(rng.uniform(0.9, 1.1)), coat.cover)
    if coat.pattern not in ("plain", "saddle", "scales"):
        marks = _wobbled(rng, marks)
    mottle = clouds(rng, TILE, TILE, 14, 11) * np.float32(0.07)
    fibre = noise(rng, TILE, TILE, 90, 34) * np.float32(0.10 * (1 - coat.gloss) + 0.02)
    grain = 1 + mottle + fibre
    return np.dstack([np.clip(marks, 0, 1) * np.float32(coat.strength), grain]).astype(np.float32)


def _wobbled(rng: np.random.Generator, marks: Floats) -> Floats:
    """Move the edges of the marks a little, as by a brush."""
    rows, columns = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    shift_x = noise(rng, TILE, TILE, 16, 16) * np.float32(4)
    shift_y = noise(rng, TILE, TILE, 16, 16) * np.float32(4)
    moved = cv2.remap(
        marks,
        columns + shift_x,
        rows + shift_y,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(moved, np.float32)


def _soft_step(values: Floats, threshold: float, softness: float) -> Floats:
    """0 below the threshold, 1 above it, with a soft edge."""
    return floats(np.clip((values - threshold) / softness + 0.5, 0, 1))


def _lattice(rng: np.random.Generator, step: float) -> Floats:
    """Jittered centers (n, 2) of a hexagonal lattice of `step` pixels over the tile."""
    rows, columns = np.mgrid[0 : TILE / step + 1, 0 : TILE / step + 1]
    centers = np.stack([columns + (rows % 2) / 2, rows * 0.87], axis=-1).reshape(-1, 2) * step
    return (centers + rng.uniform(-0.24, 0.24, centers.shape) * step).astype(np.float32)


def _dotted(rng: np.random.Generator, step: float, low: float, high: float) -> Floats:
    """A mask (0-1) of dots whose radii are between two shares of the lattice's step."""
    centers = _lattice(rng, step)
    radii = rng.uniform(low, high, (len(centers), 1)) * step
    mask: Bytes = np.zeros((TILE, TILE), np.uint8)
    fill(mask, np.zeros((0, 2), np.float32), np.hstack([centers, radii]).astype(np.float32))
    return mask.astype(np.float32) / np.float32(255)


def _plain(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    return clouds(rng, TILE, TILE, 5, 5) * np.float32(0.12) + np.float32(0.08 * cover * scale)


def _spots(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    return blur(_dotted(rng, 21 * scale, 0.16 + 0.12 * cover, 0.24 + 0.16 * cover), 0.8)


def _speckles(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    return blur(_dotted(rng, 9.5 * scale, 0.08, 0.2 + 0.2 * cover), 0.6)


def _rosettes(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    rings = blur(_dotted(rng, 26 * scale, 0.3, 0.4), 2.2)
    gaps = noise(rng, TILE, TILE, 30 / scale, 30 / scale)
    band = 1 - np.abs(rings - 0.5) * np.float32(3.4 - 1.6 * cover)
    return floats(np.clip(band * 1.6 - np.maximum(gaps, 0) * 0.7, 0, 1))


def _waves(rng: np.random.Generator, period: float, angle: float, warp_by: float) -> Floats:
    """Warped parallel waves, -1 to 1.

    Args:
        rng: draws the warp and the phase.
        period: in pixels.
        angle: direction of the normal in radians; 0 is along x.
        warp_by: strength of the warp.
    """
    rows, columns = np.mgrid[0:TILE, 0:TILE].astype(np.float32)
    along = columns * np.float32(np.cos(angle)) + rows * np.float32(np.sin(angle))
    bend = clouds(rng, TILE, TILE, 5, 5) * np.float32(warp_by)
    return floats(
        np.sin((along / period + bend) * np.float32(2 * np.pi) + np.float32(rng.uniform(0, 6.3)))
    )


def _stripes(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    taper = noise(rng, TILE, TILE, 9, 3) * np.float32(0.35)
    return _soft_step(
        _waves(rng, 15 * scale, float(rng.normal(0.12, 0.1)), 0.3) + taper, 0.75 - cover, 0.35
    )


def _bands(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    return _soft_step(_waves(rng, 36 * scale, float(rng.normal(0, 0.06)), 0.1), 0.5 - cover, 0.3)


def _lines(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    return _soft_step(
        _waves(rng, 14 * scale, np.pi / 2 + float(rng.normal(0, 0.05)), 0.1), 0.6 - cover, 0.35
    )


def _patches(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    return _soft_step(clouds(rng, TILE, TILE, 8 / scale, 8 / scale), 0.25 - 0.5 * cover, 0.12)


def _net(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    ridge = 1 - np.abs(clouds(rng, TILE, TILE, 11 / scale, 11 / scale)) * np.float32(7 - 4 * cover)
    return floats(np.clip(ridge * 1.5, 0, 1))


def _scales(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    step = 12 * scale
    rows, columns = np.mgrid[0:TILE, 0:TILE].astype(np.float32) / np.float32(step)
    columns = columns + np.float32(rng.random())
    rows = rows + np.float32(rng.random())
    row = np.floor(rows * 2)
    across = (columns + row * 0.5) % 1 - 0.5
    down = rows * 2 - row
    rim = np.abs(np.hypot(across, (down - 0.2) * 0.55) - 0.42)
    return floats(np.clip(1 - rim * np.float32(9 - 4 * cover), 0, 1))


def _saddle(rng: np.random.Generator, scale: float, cover: float) -> Floats:
    rows = np.linspace(-HALF, HALF, TILE, dtype=np.float32)[:, None] * np.ones(
        (1, TILE), np.float32
    )
    edge = clouds(rng, TILE, TILE, 12 / scale, 12 / scale) * np.float32(0.1)
    return _soft_step(-rows + edge, 0.12 - 0.35 * cover + 0.1, 0.18)


_PAINTERS: dict[str, _Painter] = {
    "plain": _plain,
    "spots": _spots,
    "speckles": _speckles,
    "rosettes": _rosettes,
    "stripes": _stripes,
    "bands": _bands,
    "lines": _lines,
    "patches": _patches,
    "net": _net,
    "scales": _scales,
    "saddle": _saddle,
}


def lay_tile(tile: Floats, matrix: Floats, height: int, width: int) -> Floats:
    """Lay a tile on a canvas.

    Args:
        tile: from `paint_tile`.
        matrix: float32 (2, 3), from beast units to pixels of the canvas.
        height: height of the canvas.
        width: width of the canvas.

    Returns:
        float32 (height, width, 2).
    """
    unit = np.float32(2 * HALF / TILE)
    placed = matrix.copy()
    placed[:, :2] = matrix[:, :2] * unit
    placed[:, 2] = matrix[:, 2] + matrix[:, :2] @ floats([-HALF, -HALF])
    return warp(tile, placed, height, width, mirror=True)
