"""Landscape -> its ground, with tufts, stones, leaves or ripples strewn over it.

Knows nothing of sky, light or species.
"""

import cv2
import numpy as np

from bestiary.beasts.lands import Land, color_of
from bestiary.beasts.outlines import curve, leaf
from bestiary.beasts.raster import NO_DISCS, Bytes, Floats, blend, clouds, fill, noise, stroke


def paint_ground(
    land: Land, rng: np.random.Generator, height: int, width: int, horizon: float
) -> Floats:
    """Paint the ground over the whole image; its texture is finer towards the horizon.

    Args:
        land: kind of landscape.
        rng: draws the texture.
        height: rows.
        width: columns.
        horizon: its row as a share of the height; below 0 if only ground is visible.

    Returns:
        float32 (height, width, 3), RGB.
    """
    rows = np.arange(height, dtype=np.float32) / height
    near = np.clip((rows - horizon) / (1 - horizon), 0, 1)
    base = color_of(land.ground[0]) * (1 - near[:, None]) + color_of(land.ground[1]) * near[:, None]
    shape = {
        "ripples": (9, 2.2),
        "water": (16, 2.5),
        "snow": (4, 2),
        "grass": (9, 6),
        "stones": (10, 10),
        "litter": (14, 14),
    }
    down, across = shape[land.cover]
    texture = clouds(rng, height, width, down, across)
    # Squeeze the texture towards the horizon.
    if horizon >= 0:
        depth = np.clip(near, 0, 1) ** 0.5 * (height - 1)
        columns = np.broadcast_to(np.arange(width, dtype=np.float32), (height, width))
        texture = np.asarray(
            cv2.remap(texture, columns, np.repeat(depth[:, None], width, 1), cv2.INTER_LINEAR),
            np.float32,
        )
    strong = {
        "ripples": 0.1,
        "water": 0.13,
        "snow": 0.06,
        "grass": 0.17,
        "stones": 0.15,
        "litter": 0.2,
    }[land.cover]
    broad = noise(rng, height, width, 2, 2) * np.float32(0.08)
    return (base[:, None] * (1 + texture * np.float32(strong) + broad)[..., None]).astype(
        np.float32
    )


def paint_ground_details(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    """Scatter tufts, stones, leaves or ripples over the ground, larger towards the viewer.

    Args:
        image: float32 (h, w, 3), changed in place.
        land: kind of landscape.
        rng: draws their positions and sizes.
        row: the first row of the ground.
    """
    height, width = image.shape[:2]
    for lighter in (False, True):
        mask = np.zeros((height, width), np.uint8)
        for _ in range(34 if land.cover in ("grass", "litter") else 16):
            near = float(rng.random()) ** 0.8
            x = float(rng.uniform(0, width))
            y = row + near * (height - row)
            size = width * (0.008 + 0.034 * near) * float(rng.uniform(0.6, 1.3))
            _strew(mask, land.cover, rng, x, y, size)
        factor = 1.32 if lighter else 0.72
        blend(image, mask, np.minimum(color_of(land.ground[0 if lighter else 1]) * factor, 1), 0.4)


def _strew(
    mask: Bytes, cover: str, rng: np.random.Generator, x: float, y: float, size: float
) -> None:
    """Draw one tuft, stone, leaf or ripple of a size in pixels."""
    if cover == "grass":
        lines = [
            curve(
                [
                    (x, y),
                    (x + size * 0.4 * t, y - size * 0.9),
                    (x + size * 1.3 * t, y - size * 1.7),
                ],
                6,
            )
            for t in rng.uniform(-1, 1, 4)
        ]
        stroke(mask, lines, size * 0.16)
    elif cover == "litter":
        turn = float(rng.uniform(0, 6.3))
        fill(
            mask,
            leaf(
                (x, y),
                (x + 1.6 * size * float(np.cos(turn)), y + 0.8 * size * float(np.sin(turn))),
                size * 0.7,
            ).outline,
            NO_DISCS,
        )
    elif cover == "stones":
        t = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        wide = size * float(rng.uniform(0.4, 1.3))
        fill(
            mask,
            np.column_stack([x + wide * np.cos(t), y + wide * 0.5 * np.sin(t)]).astype(np.float32),
            NO_DISCS,
        )
    else:
        long = size * float(rng.uniform(1.5, 5.0))
        stroke(
            mask,
            [curve([(x - long, y), (x, y - size * 0.25), (x + long, y + size * 0.1)], 8)],
            size * 0.14,
        )
