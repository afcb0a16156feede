"""Posed figure -> pixels: outlines become rounded, patterned, lit bodies on a transparent canvas.

Each part swells to a height field by its distance from the edge. The normals of all parts are
blended on one canvas and lit at the end. Knows nothing of body plans or of the landscape except its
light.
"""

from dataclasses import dataclass, fields

import numpy as np

from bestiary.beasts.figure import Figure, Part
from bestiary.beasts.outlines import Shape
from bestiary.beasts.raster import (
    Bytes,
    Floats,
    blur,
    depth_inside,
    fill,
    floats,
    gradient,
    resize,
    stroke,
)
from bestiary.beasts.species import Coat, Color

_DARK: Color = (0.10, 0.085, 0.08)
_GLINT: Color = (1.0, 1.0, 0.97)


@dataclass(frozen=True, slots=True)
class Light:
    """The light of a scene.

    Attributes:
        direction: unit vector towards the light: x to the right, y down, z to the viewer.
        sun: color of the direct light, RGB about 1.
        sky: color of the light from above.
        ground: color of the light that the ground reflects.
    """

    direction: tuple[float, float, float]
    sun: Color
    sky: Color
    ground: Color


@dataclass(slots=True)
class _Canvas:
    """The pixels before lighting: (h, w) or (h, w, c), premultiplied except openness."""

    color: Floats
    normal: Floats
    openness: Floats
    alpha: Floats


@dataclass(frozen=True, slots=True)
class _Relief:
    """A part on its window of the canvas."""

    window: tuple[slice, slice]
    cover: Floats
    normal: Floats
    openness: Floats


def paint_figure(
    figure: Figure, coat: Coat, marks: Floats, matrix: Floats, light: Light, finer: int
) -> Floats:
    """Paint a figure.

    Args:
        figure: the posed beast.
        coat: its colors.
        marks: (h, w, 2), the coat's tile on the canvas.
        matrix: (2, 3), from beast units to pixels.
        light: the light of the scene.
        finer: how many times finer than the result the canvas is.

    Returns:
        float32 (h / finer, w / finer, 4): premultiplied color, 0-1, and cover.
    """
    height, width = marks.shape[:2]
    canvas = _Canvas(
        np.zeros((height, width, 3), np.float32),
        np.zeros((height, width, 2), np.float32),
        np.ones((height, width), np.float32),
        np.zeros((height, width), np.float32),
    )
    scale = float(np.sqrt(abs(np.linalg.det(matrix[:, :2].astype(float)))))
    for part in figure.parts:
        relief = _raise_part(part, matrix, scale, (height, width))
        if relief is not None:
            _lay_over(canvas, part, relief, coat, marks, scale)
    # Shrinking smooths the edges; light changes little within a pixel.
    if finer > 1:
        small = height // finer, width // finer
        canvas = _Canvas(
            *(resize(getattr(canvas, field.name), *small, shrink=True) for field in fields(canvas))
        )
    return _lit(canvas, light, coat.gloss)


def _placed(points: Floats, matrix: Floats) -> Floats:
    return (points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)


def _raise_part(part: Part, matrix: Floats, scale: float, size: tuple[int, int]) -> _Relief | None:
    """Cover, normals and openness of a part on its window; None if it is off the canvas."""
    outlines = [_placed(shape.outline, matrix) for shape in part.shapes]
    discs = [
        np.column_stack([_placed(shape.discs[:, :2], matrix), shape.discs[:, 2:] * scale])
        for shape in part.shapes
    ]
    lines = [_placed(line, matrix) for line in part.lines]
    boxes = [*outlines, *lines, *(d[:, :2] + r * d[:, 2:] for d in discs for r in (-1, 1))]
    points = np.vstack([box for box in boxes if len(box)])
    margin = 2 + 0.02 * scale
    left, top = np.maximum(np.floor(points.min(axis=0) - margin), 0).astype(int).tolist()
    right, bottom = (
        np.minimum(np.ceil(points.max(axis=0) + margin), (size[1], size[0])).astype(int).tolist()
    )
    if right - left < 2 or bottom - top < 2:
        return None
    origin = floats([left, top])
    mask = np.zeros((bottom - top, right - left), np.uint8)
    swell = np.zeros(mask.shape, np.float32)
    if lines:
        stroke(mask, [line - origin for line in lines], part.width * scale)
    for outline, ends in zip(outlines, discs, strict=True):
        local = Shape(outline - origin, (ends - floats([left, top, 0])).astype(np.float32))
        _swell(mask, swell, local, part.relief > 0)
    normal, openness = _normals(swell, part.relief, scale)
    cover = mask.astype(np.float32) * np.float32(part.opacity / 255)
    return _Relief((slice(top, bottom), slice(left, right)), cover, normal, openness)


def _swell(mask: Bytes, swell: Floats, shape: Shape, round_it: bool) -> None:
    """Add a shape, in pixels of the window, to the mask and to the height field."""
    own = np.zeros_like(mask)
    fill(own, shape.outline, shape.discs)
    np.maximum(mask, own, out=mask)
    if round_it:
        depth = depth_inside(own)
        radius = float(depth.max())
        np.maximum(swell, np.sqrt(depth * (2 * radius - depth)), out=swell)


def _normals(swell: Floats, relief: float, scale: float) -> tuple[Floats, Floats]:
    """The sideways part of the normals (h, w, 2) and the openness (h, w) of a height field.

    The height field is in pixels; a beast unit is `scale` pixels. Creases are smoothed, and edges
    darkened, over a small share of a unit.
    """
    thick = float(swell.max())
    if relief == 0 or thick < 0.5:
        return np.zeros((*swell.shape, 2), np.float32), np.ones(swell.shape, np.float32)
    smooth = blur(swell, min(0.5 + 0.13 * thick, 0.03 * scale))
    slope_x, slope_y = gradient(smooth)
    steep = np.float32(1.25 * relief) / np.sqrt(1 + (slope_x**2 + slope_y**2) * np.float32(1.5))
    normal = np.empty((*swell.shape, 2), np.float32)
    np.multiply(slope_x, -steep, out=normal[..., 0])
    np.multiply(slope_y, -steep, out=normal[..., 1])
    rim = np.clip(swell * np.float32(1 / min(0.55 * thick, 0.075 * scale)), 0, 1)
    return normal, 1 - np.float32(0.38 * relief) * (1 - rim) ** 2


def _lay_over(
    canvas: _Canvas, part: Part, relief: _Relief, coat: Coat, marks: Floats, scale: float
) -> None:
    """Blend a part into the canvas, with a soft shadow on what is below."""
    window = relief.window
    cover = relief.cover
    if part.relief > 0.3:
        shade = blur(cover, 0.018 * scale)
        canvas.openness[window] *= 1 - np.float32(0.30) * shade
    weight = cover[..., None]
    albedo = _albedo(part, relief, coat, marks[window])
    for field, value in (("color", albedo), ("normal", relief.normal)):
        below = getattr(canvas, field)[window]
        below += (value - below) * weight
    below = canvas.openness[window]
    below += (relief.openness * np.float32(part.shade) - below) * cover
    below = canvas.alpha[window]
    below += (1 - below) * cover


def _albedo(part: Part, relief: _Relief, coat: Coat, marks: Floats) -> Floats:
    """The color (h, w, 3) of a part before lighting."""
    pigments = {
        "coat": coat.base,
        "accent": coat.accent,
        "horn": coat.horn,
        "pale": coat.pale,
        "iris": coat.iris,
    }
    base = floats(pigments.get(part.paint, _GLINT if part.paint == "glint" else _DARK))
    if part.paint in ("iris", "dark", "glint"):
        return np.broadcast_to(base, (*relief.cover.shape, 3))
    color: Floats = np.broadcast_to(base, (*relief.cover.shape, 3))
    if part.paint == "coat" and coat.belly > 0:
        under = np.clip(relief.normal[..., 1] * 1.35 - 0.12, 0, 1) * floats(coat.belly)
        color = color + (floats(coat.pale) - color) * under[..., None]
    if part.marks > 0:
        weight = marks[..., 0] * np.float32(part.marks)
        color = color + (floats(coat.mark) - color) * weight[..., None]
    return (color * marks[..., 1:]).astype(np.float32)


def _lit(canvas: _Canvas, light: Light, gloss: float) -> Floats:
    """Light the canvas: premultiplied color and cover (h, w, 4)."""
    nx = canvas.normal[..., 0]
    ny = canvas.normal[..., 1]
    nz = np.sqrt(np.maximum(1 - nx * nx - ny * ny, 0.02))
    lx, ly, lz = (np.float32(value) for value in light.direction)
    towards = nx * lx + ny * ly + nz * lz
    direct = np.clip((towards + np.float32(0.25)) / np.float32(1.25), 0, 1)
    above = np.clip(0.5 - 0.5 * ny, 0, 1)
    glow = np.empty_like(canvas.color)
    for channel in range(3):
        sky = np.float32(light.sky[channel])
        ground = np.float32(light.ground[channel])
        glow[..., channel] = (ground + (sky - ground) * above) + np.float32(
            light.sun[channel]
        ) * direct
    glow *= canvas.openness[..., None]
    half = floats(light.direction) + floats([0, 0, 1])
    half /= np.float32(np.linalg.norm(half))
    facing = np.clip(nx * half[0] + ny * half[1] + nz * half[2], 0, 1)
    shine = facing ** np.float32(14 + 40 * gloss) * np.float32(0.06 + 0.4 * gloss) * canvas.openness
    shine *= canvas.alpha
    color = np.minimum(canvas.color * glow + shine[..., None], canvas.alpha[..., None])
    return np.concatenate([color, canvas.alpha[..., None]], axis=2)
