"""Landscape -> the objects in its distance: trunks, firs, rocks, stars or reeds.

Knows nothing of light or species.
"""

import numpy as np

from bestiary.beasts.lands import Land, color_of
from bestiary.beasts.outlines import curve
from bestiary.beasts.raster import NO_DISCS, NO_OUTLINE, Floats, blend, blur, fill, floats, stroke


def no_props(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    """Leave the distance empty.

    Args:
        image: float32 (h, w, 3); the painters in `PROPS` change it in place.
        land: kind of landscape.
        rng: draws the objects.
        row: row of the horizon.
    """


def _trunks(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    height, width = image.shape[:2]
    for depth in (0.35, 0.6, 0.85):
        mask = np.zeros((height, width), np.uint8)
        for _ in range(int(rng.integers(2, 5))):
            x = float(rng.uniform(0, width))
            thick = width * float(rng.uniform(0.015, 0.035)) * (0.5 + depth)
            foot = row + height * 0.05 * depth
            lean = float(rng.normal(0, 0.03)) * width
            fill(
                mask,
                floats(
                    [
                        (x - thick, foot),
                        (x + lean - thick * 0.7, -2),
                        (x + lean + thick * 0.7, -2),
                        (x + thick, foot),
                    ]
                ),
                NO_DISCS,
            )
        blend(
            image,
            mask,
            color_of(land.ground[1]) * 0.75 * depth + color_of(land.sky[1]) * (1 - depth),
            0.9,
        )


def _firs(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    for _ in range(int(rng.integers(4, 11))):
        x = float(rng.uniform(0, width))
        tall = height * float(rng.uniform(0.08, 0.24))
        for tier in range(3):
            top = row - tall * (1 - 0.26 * tier)
            half = tall * (0.13 + 0.08 * tier)
            fill(
                mask,
                floats([(x, top), (x + half, top + tall * 0.42), (x - half, top + tall * 0.42)]),
                NO_DISCS,
            )
    mask[min(height, row + 1) :] = 0
    blend(image, mask, color_of(land.far[-1]) * 0.62, 0.9)


def _rocks(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    height, width = image.shape[:2]
    for _ in range(int(rng.integers(1, 4))):
        x = float(rng.uniform(0, width))
        wide = width * float(rng.uniform(0.06, 0.2))
        tall = height * float(rng.uniform(0.05, 0.2))
        rise = rng.uniform(0.55, 1.0, 5)
        points = [
            (x + wide * (k - 2) / 2, row + 2 - tall * float(rise[k]) * (1 - abs(k - 2) * 0.28))
            for k in range(5)
        ]
        outline = floats([(x - wide * 1.1, row + 4), *points, (x + wide * 1.1, row + 4)])
        mask = np.zeros((height, width), np.uint8)
        fill(mask, outline, NO_DISCS)
        blend(image, mask, color_of(land.far[-1]) * float(rng.uniform(0.75, 1.0)))
        lit = (outline * floats([0.5, 1]) + floats([x * 0.5 - wide * 0.35, 0])).astype(np.float32)
        mask[:] = 0
        fill(mask, lit, NO_DISCS)
        blend(image, mask, color_of(land.far[-1]) * 0.6 + color_of(land.sky[1]) * 0.45, 0.4)


def _stars(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    places = rng.uniform((0, 0, 0.15), (width, row * 0.8, 0.55), (26, 3)) * floats(
        [1, 1, width / 160]
    )
    fill(mask, NO_OUTLINE, places.astype(np.float32))
    moon = floats([[rng.uniform(0.1, 0.9) * width, rng.uniform(0.15, 0.5) * row, width * 0.045]])
    fill(mask, NO_OUTLINE, moon)
    halo = np.zeros((height, width), np.uint8)
    fill(halo, NO_OUTLINE, moon * floats([1, 1, 2]))
    glow = blur(halo.astype(np.float32), width * 0.05)[..., None] / np.float32(255)
    image += glow * floats([0.3, 0.3, 0.26])
    blend(image, mask, floats([0.96, 0.95, 0.86]), 0.9)


def _reeds(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    middle = float(rng.uniform(0, width))
    for _ in range(26):
        x = middle + float(rng.normal(0, width * 0.13))
        tall = height * float(rng.uniform(0.08, 0.3))
        stroke(
            mask,
            [
                curve(
                    [
                        (x, row + 3),
                        (x + tall * 0.05, row - tall * 0.5),
                        (x + tall * float(rng.uniform(-0.2, 0.3)), row - tall),
                    ],
                    7,
                )
            ],
            width / 130,
        )
    blend(image, mask, color_of(land.far[-1]) * 0.6, 0.85)


PROPS = {"trunks": _trunks, "firs": _firs, "rocks": _rocks, "stars": _stars, "reeds": _reeds}
"""Kind of object -> its painter, with the arguments of `no_props`."""
