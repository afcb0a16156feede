"""Species + random generator -> one image: landscape, beast with its shadow, foreground, camera.

Knows how the layers are combined. Knows nothing of how beasts or landscapes look.
"""

from dataclasses import replace

import numpy as np

from bestiary.beasts.anatomy import pose_beast
from bestiary.beasts.coat import lay_tile, paint_tile
from bestiary.beasts.figure import Figure
from bestiary.beasts.foreground import paint_foreground
from bestiary.beasts.raster import Bytes, Floats, blur, floats, noise, warp
from bestiary.beasts.scenery import Scene, paint_scene
from bestiary.beasts.shading import paint_figure
from bestiary.beasts.species import Coat, Color, Species

_SHAPES = ((1.0, 1.0), (0.75, 1.0), (1.0, 0.75))
"""Height and width as shares of the long side."""


def draw_beast(species: Species, rng: np.random.Generator, size: int) -> Bytes:
    """Draw one individual of a species.

    The same species, generator state and size always give the same image. Landscape, light, pose,
    place and direction of gaze do not depend on the species.

    Args:
        species: the species.
        rng: draws everything that varies between images.
        size: pixels of the long side.

    Returns:
        uint8 (h, w, 3), RGB; the aspect ratio is 1:1, 4:3 or 3:4.
    """
    shape = _SHAPES[int(rng.integers(3))]
    height = round(size * shape[0])
    width = round(size * shape[1])
    finer = 4 if size <= 96 else 2 if size <= 384 else 1
    scene = paint_scene(rng, height, width)
    figure = pose_beast(species, rng)
    matrix, ground = _place(figure, rng, height * finer, width * finer, scene.horizon)
    coat = vary_coat(species.coat, rng)
    marks = lay_tile(paint_tile(coat, rng), matrix, height * finer, width * finer)
    beast = paint_figure(figure, coat, marks, matrix, scene.light, finer)
    beast = blur(beast, float(rng.uniform(0, 0.5)) * size / 160)
    image = cast_shadow(scene, figure.stance, beast[..., 3], ground / finer, rng)
    image = image * (1 - beast[..., 3:]) + beast[..., :3]
    front = paint_foreground(scene, rng, height, width)
    if front is not None:
        image = image * (1 - front[..., 3:]) + front[..., :3]
    return photograph(image, rng)


def vary_coat(coat: Coat, rng: np.random.Generator) -> Coat:
    """Vary the colors of a coat a little, as between individuals.

    Args:
        coat: of the species.
        rng: draws the changes.
    """

    def vary(color: Color, value: float, tint: Floats) -> Color:
        red, green, blue = np.clip(floats(color) * value + tint, 0.02, 1).tolist()
        return red, green, blue

    value = float(rng.uniform(0.88, 1.12))
    tint = rng.normal(0, 0.022, 3).astype(np.float32)
    return replace(
        coat,
        base=vary(coat.base, value, tint),
        mark=vary(coat.mark, value, tint),
        accent=vary(coat.accent, value, tint),
        cover=float(np.clip(coat.cover + rng.normal(0, 0.06), 0.15, 0.85)),
        belly=float(np.clip(coat.belly + rng.normal(0, 0.1), 0, 1)),
    )


def _place(
    figure: Figure, rng: np.random.Generator, height: int, width: int, horizon: float
) -> tuple[Floats, float]:
    """The 2x3 matrix from beast units to pixels, and the row of the ground under the beast.

    The beast takes up 45 to 95 % of the frame, looks left or right, is turned a little and lies
    inside the frame.
    """
    turn, low, extent = turn_figure(figure, rng)
    scale = float(rng.uniform(0.45, 0.95)) * min(width / extent[0], height / extent[1])
    free_x = width - extent[0] * scale
    free_y = height - extent[1] * scale
    drop = float(rng.beta(3, 2.2))
    # A beast that stands or lies is below the horizon, as far as there is room.
    if figure.stance != "hovering":
        lowest = horizon * height
        if figure.stance == "standing":
            lowest += 0.06 * height - extent[1] * scale
        drop = max(drop, min(1.0, lowest / max(free_y, 1e-6)))
    shift = floats([free_x * rng.random(), free_y * drop]) - low * scale
    matrix = np.column_stack([turn * scale, shift]).astype(np.float32)
    foot = free_y * drop + extent[1] * scale
    hover = (
        float(rng.uniform(0.05, 0.3)) * extent[1] * scale if figure.stance == "hovering" else 0.0
    )
    return matrix, foot + hover


def turn_figure(figure: Figure, rng: np.random.Generator) -> tuple[Floats, Floats, Floats]:
    """Turn a figure a little, to the left or to the right.

    Args:
        figure: the posed beast.
        rng: draws the angle and the direction of gaze.

    Returns:
        The rotation (2, 2); the least x and y of the turned figure, and its width and height, both
        in beast units.
    """
    shapes = [shape for part in figure.parts for shape in part.shapes]
    ends = [shape.discs[:, :2] + sign * shape.discs[:, 2:] for shape in shapes for sign in (-1, 1)]
    points = np.vstack([*(shape.outline for shape in shapes), *ends])
    spread = 0.3 if figure.stance == "lying" else 0.09
    angle = float(rng.normal(0, spread))
    mirror = -1.0 if rng.random() < 0.5 else 1.0
    cosine = float(np.cos(angle))
    sine = float(np.sin(angle))
    turn = floats([[cosine * mirror, -sine], [sine * mirror, cosine]])
    turned = points @ turn.T
    low = turned.min(axis=0)
    return turn, low, turned.max(axis=0) - low


def cast_shadow(
    scene: Scene, stance: str, cover: Floats, ground: float, rng: np.random.Generator
) -> Floats:
    """Cast the beast's shadow on the landscape: flat along the ground, or next to a lying beast.

    Args:
        scene: the landscape.
        stance: of the figure.
        cover: of the beast (h, w), 0 to 1.
        ground: row of the ground under the beast.
        rng: draws the length of the shadow.

    Returns:
        The landscape's image with the shadow.
    """
    height, width = cover.shape
    lx = scene.light.direction[0]
    if stance == "lying":
        far = 0.035 * width
        moved = warp(cover, floats([[1, 0, -lx * far], [0, 1, far * 0.8]]), height, width)
        shade = blur(moved, 0.014 * width) * np.float32(0.85)
    else:
        # The light is on our side: shadows fall away
        squash = float(rng.uniform(0.12, 0.3))
        slant = -lx * 0.55
        flat = floats([[1, slant, -slant * ground], [0, squash, ground * (1 - squash)]])
        cast = blur(warp(cover, flat, height, width), 0.012 * width)
        low = floats([[1.0, 0.0, 0.0], [0, 0.09, 0.91 * ground]])
        contact = blur(warp(cover, low, height, width), 0.022 * width)
        shade = 1 - (1 - cast * np.float32(0.7)) * (
            1 - contact * np.float32(0.8 if stance == "standing" else 0.25)
        )
    return scene.image * (1 - shade[..., None] * (1 - floats(scene.shadow)))


def photograph(image: Floats, rng: np.random.Generator) -> Bytes:
    """Add the effects of a camera: exposure, tint, vignette, paper grain, sensor noise.

    Args:
        image: RGB, 0 to 1.
        rng: draws their strengths.

    Returns:
        The image, uint8.
    """
    height, width = image.shape[:2]
    rows = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
    columns = np.linspace(-1, 1, width, dtype=np.float32)[None]
    edge = 1 - np.float32(rng.uniform(0.04, 0.16)) * (rows**2 + columns**2)
    tint = (float(rng.uniform(0.9, 1.1)) * (1 + rng.normal(0, 0.025, 3))).astype(np.float32)
    grain = noise(rng, height, width, height / 1.6, width / 1.6) * np.float32(0.014)
    image = image * (edge[..., None] * tint) + grain[..., None]
    image += rng.standard_normal(image.shape, dtype=np.float32) * np.float32(
        rng.uniform(0.003, 0.014)
    )
    contrast = np.float32(rng.uniform(0.0, 0.5))
    image += contrast * image * (1 - image) * (image - np.float32(0.45))
    return np.asarray(np.clip(image * 255 + 0.5, 0, 255), np.uint8)
