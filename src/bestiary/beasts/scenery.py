"""Random generator -> landscape: an image, its horizon and its light.

It paints sky and hills; ground, distant props and foreground have modules of their own. Knows
nothing of species, so that no landscape can reveal a class.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from bestiary.beasts.ground import paint_ground, paint_ground_details
from bestiary.beasts.lands import LANDS, Land, color_of
from bestiary.beasts.props import PROPS, no_props
from bestiary.beasts.raster import Floats, blur, clouds, floats, noise
from bestiary.beasts.shading import Light
from bestiary.beasts.species import Color


@dataclass(frozen=True, slots=True)
class Scene:
    """A painted landscape.

    Attributes:
        image: float32 (h, w, 3), RGB 0-1.
        horizon: its row as a share of the height; below 0 if only ground is visible.
        light: light on the beast.
        shadow: color that a full shadow multiplies the ground by.
        land: kind of landscape.
    """

    image: Floats
    horizon: float
    light: Light
    shadow: Color
    land: Land


def paint_scene(rng: np.random.Generator, height: int, width: int) -> Scene:
    """Paint a random landscape.

    Args:
        rng: draws the kind of landscape and everything in it.
        height: rows.
        width: columns.

    Returns:
        The scene.
    """
    land = LANDS[int(rng.integers(len(LANDS)))]
    horizon = float(rng.uniform(0.22, 0.62)) if rng.random() < 0.72 else -0.1
    image = paint_ground(land, rng, height, width, horizon)
    row = max(0, round(horizon * height))
    if row > 2:
        image[:row] = _sky(land, rng, row, width)
        _hills(image, land, rng, row)
        PROPS.get(land.props, no_props)(image, land, rng, row)
        image = blur(image, float(rng.uniform(0.4, 1.3)) * width / 160)
    image = _brushed(image, rng)
    if row > 2:
        paint_ground_details(image, land, rng, row)
    else:
        paint_ground_details(image, land, rng, 0)
    image *= 1 + (rng.normal(0, 0.05, 3) + rng.normal(0, 0.06)).astype(np.float32)
    return Scene(image, horizon, _light(land, rng), _shadow_color(land), land)


def _shadow_color(land: Land) -> Color:
    """A shadow tinted by the sky."""
    red, green, blue = (0.2 + 0.24 * color_of(land.sky[0])).tolist()
    return red, green, blue


def _light(land: Land, rng: np.random.Generator) -> Light:
    """Light from above, more or less from one side, tinted by sky and ground."""
    side = float(rng.uniform(-0.85, 0.85))
    down = float(rng.uniform(-0.95, -0.55))
    direction = floats([side, down, rng.uniform(0.45, 0.9)])
    direction /= np.linalg.norm(direction)
    strength = float(rng.uniform(0.62, 0.9))
    sun = tuple((color_of(land.sun) * strength).tolist())
    sky = tuple((0.26 + 0.24 * (color_of(land.sky[0]) + color_of(land.sky[1])) / 2).tolist())
    ground = tuple((0.14 + 0.26 * color_of(land.ground[0])).tolist())
    x, y, z = direction.tolist()
    return Light(
        (x, y, z),
        (sun[0], sun[1], sun[2]),
        (sky[0], sky[1], sky[2]),
        (ground[0], ground[1], ground[2]),
    )


def _sky(land: Land, rng: np.random.Generator, height: int, width: int) -> Floats:
    """A gradient with clouds and a glow."""
    t = np.linspace(0, 1, height, dtype=np.float32)[:, None, None] ** 1.3
    image = color_of(land.sky[0]) * (1 - t) + color_of(land.sky[1]) * t
    veil = np.clip(
        clouds(rng, height, width, 3, 2) + np.float32(rng.uniform(-0.5, 0.3)), 0, 1
    ) * np.float32(0.55)
    white = color_of(land.sky[1]) * 0.6 + 0.4
    return floats(image + (white - image) * veil[..., None] * (1.1 - t))


def _profile(rng: np.random.Generator, width: int, cells: float) -> Floats:
    """A smooth rolling line (width,), about -1 to 1."""
    return floats(noise(rng, 4, width, 1, cells)[1] + 0.35 * noise(rng, 4, width, 1, cells * 3)[1])


def _hills(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    """Paint chains of hills over the horizon, the farthest first and palest."""
    height, width = image.shape[:2]
    rows = np.arange(row, dtype=np.float32)[:, None]
    for number, code in enumerate(land.far):
        rise = height * (0.16 - 0.07 * number) * float(rng.uniform(0.6, 1.3))
        ridge = row - rise * (0.65 + 0.5 * _profile(rng, width, 3 + 2 * number))
        cover = np.clip(rows - ridge + 0.5, 0, 1)[..., None]
        fade = np.clip((rows - ridge) / max(rise * 1.6, 1), 0, 1)[..., None] * np.float32(0.45)
        color = color_of(code) + (color_of(land.sky[1]) - color_of(code)) * fade
        image[:row] += (color - image[:row]) * cover


def _brushed(image: Floats, rng: np.random.Generator) -> Floats:
    """Move the edges as a broad brush does, and add the unevenness of a wash."""
    height, width = image.shape[:2]
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    by = np.float32(width / 150)
    shift = noise(rng, height, width, 22, 22) * by
    moved = cv2.remap(
        image,
        columns + shift,
        rows + noise(rng, height, width, 22, 22) * by * 0.6,
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    wash = 1 + clouds(rng, height, width, 7, 7) * np.float32(0.035)
    return (np.asarray(moved, np.float32) * wash[..., None]).astype(np.float32)
