"""Random generator -> landscape: an image, its horizon and its light; and a foreground layer.

Knows nothing of species, so that no landscape can reveal a class.
"""

from dataclasses import dataclass

import cv2
import numpy as np

from bestiary.beasts.outlines import curve, leaf
from bestiary.beasts.raster import Bytes, Floats, blur, clouds, fill, floats, noise, stroke
from bestiary.beasts.shading import Light
from bestiary.beasts.species import Color


@dataclass(frozen=True, slots=True)
class Land:
    """A kind of landscape; colors are 0xRRGGBB.

    Attributes:
        sky: colors of the zenith and of the haze over the horizon.
        far: colors of the hills, the farthest first; empty for a plain.
        ground: colors of the ground at the horizon and at the viewer's feet.
        cover: ground cover: ``grass``, ``ripples``, ``litter``, ``stones``, ``snow`` or ``water``.
        props: objects in the distance: ``trunks``, ``firs``, ``rocks``, ``stars``, ``reeds`` or
            nothing.
        sun: color of the direct light.
    """

    sky: tuple[int, int]
    far: tuple[int, ...]
    ground: tuple[int, int]
    cover: str
    props: str
    sun: int


LANDS: tuple[Land, ...] = (
    Land((0x8DB6CF, 0xE9E7D2), (0xA9BDB4, 0x8CA77F), (0xA8B872, 0x5E7F3C), "grass", "", 0xFFF1D6),
    Land(
        (0xB9CBD3, 0xF3E6CE), (0xC9C2A8, 0xA8A777), (0xC9BB7D, 0x8F8A45), "grass", "firs", 0xFFE9C0
    ),
    Land((0x9CC3D6, 0xF6E3C2), (0xE3BE8C,), (0xEBCB94, 0xC9985C), "ripples", "", 0xFFEBC4),
    Land(
        (0xE9B48B, 0xF8DDB2),
        (0xC88C66, 0xB57651),
        (0xD79C68, 0xA0623E),
        "ripples",
        "rocks",
        0xFFD9A6,
    ),
    Land((0x6F8463, 0xC6CFA0), (0x5C7350,), (0x6D6B45, 0x4A3D28), "litter", "trunks", 0xF3F2CF),
    Land((0xC79A5B, 0xF0D9A0), (0xA8763F,), (0xA4703C, 0x6E4425), "litter", "trunks", 0xFFE3B0),
    Land(
        (0xA9BFD3, 0xE6ECEF), (0xBBC8D6, 0x9FB0C2), (0xE4EAF0, 0xC3CEDD), "snow", "firs", 0xFFF6E8
    ),
    Land((0x7FA3BE, 0xD6E3E2), (0x8FA8B2,), (0x8FB3B8, 0x44737F), "water", "reeds", 0xFFF4DE),
    Land((0xE6A98E, 0xF7DDBD), (0xA98899,), (0xCF9C92, 0x6B6480), "water", "", 0xFFD8B8),
    Land(
        (0x98A3AC, 0xD9DAD4),
        (0x9A9C9B, 0x7C7F80),
        (0x9D9A93, 0x64625E),
        "stones",
        "rocks",
        0xF7F1E6,
    ),
    Land(
        (0x16243F, 0x4C6688), (0x2C4260, 0x213450), (0x34506A, 0x1B2C40), "grass", "stars", 0xBFD3F5
    ),
    Land((0x2A2146, 0x8C6A8F), (0x4B3F66,), (0x5E5475, 0x332C48), "stones", "stars", 0xE0CCF2),
    Land(
        (0x86B79A, 0xDDE9C6), (0x79A884, 0x558566), (0x86A860, 0x3F6238), "grass", "reeds", 0xFBF6D4
    ),
    Land((0xD9CFC0, 0xF1EADB), (0xD5C6AE,), (0xD8C8AC, 0xAE9A7C), "stones", "", 0xFFF6E6),
)


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


def color_of(code: int) -> Floats:
    """Convert 0xRRGGBB to float32 (3,), 0-1."""
    return floats([code >> 16, code >> 8 & 255, code & 255]) / np.float32(255)


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
    image = _ground(land, rng, height, width, horizon)
    row = max(0, round(horizon * height))
    if row > 2:
        image[:row] = _sky(land, rng, row, width)
        _hills(image, land, rng, row)
        _PROPS.get(land.props, _no_props)(image, land, rng, row)
        image = blur(image, float(rng.uniform(0.4, 1.3)) * width / 160)
    image = _brushed(image, rng)
    if row > 2:
        _ground_details(image, land, rng, row)
    else:
        _ground_details(image, land, rng, 0)
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


def _ground(
    land: Land, rng: np.random.Generator, height: int, width: int, horizon: float
) -> Floats:
    """The ground over the whole image; its texture is finer towards the horizon."""
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


def _blend(image: Floats, mask: Bytes, color: Floats, opacity: float = 1.0) -> None:
    weight = (mask.astype(np.float32) * np.float32(opacity / 255))[..., None]
    image += (color - image) * weight


_NO_DISCS = np.zeros((0, 3), np.float32)
_NO_OUTLINE = np.zeros((0, 2), np.float32)


def _no_props(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    """Leave the distance empty."""


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
                _NO_DISCS,
            )
        _blend(
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
                _NO_DISCS,
            )
    mask[min(height, row + 1) :] = 0
    _blend(image, mask, color_of(land.far[-1]) * 0.62, 0.9)


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
        fill(mask, outline, _NO_DISCS)
        _blend(image, mask, color_of(land.far[-1]) * float(rng.uniform(0.75, 1.0)))
        lit = (outline * floats([0.5, 1]) + floats([x * 0.5 - wide * 0.35, 0])).astype(np.float32)
        mask[:] = 0
        fill(mask, lit, _NO_DISCS)
        _blend(image, mask, color_of(land.far[-1]) * 0.6 + color_of(land.sky[1]) * 0.45, 0.4)


def _stars(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    height, width = image.shape[:2]
    mask = np.zeros((height, width), np.uint8)
    places = rng.uniform((0, 0, 0.15), (width, row * 0.8, 0.55), (26, 3)) * floats(
        [1, 1, width / 160]
    )
    fill(mask, _NO_OUTLINE, places.astype(np.float32))
    moon = floats([[rng.uniform(0.1, 0.9) * width, rng.uniform(0.15, 0.5) * row, width * 0.045]])
    fill(mask, _NO_OUTLINE, moon)
    halo = np.zeros((height, width), np.uint8)
    fill(halo, _NO_OUTLINE, moon * floats([1, 1, 2]))
    glow = blur(halo.astype(np.float32), width * 0.05)[..., None] / np.float32(255)
    image += glow * floats([0.3, 0.3, 0.26])
    _blend(image, mask, floats([0.96, 0.95, 0.86]), 0.9)


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
    _blend(image, mask, color_of(land.far[-1]) * 0.6, 0.85)


_PROPS = {"trunks": _trunks, "firs": _firs, "rocks": _rocks, "stars": _stars, "reeds": _reeds}


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


def _ground_details(image: Floats, land: Land, rng: np.random.Generator, row: int) -> None:
    """Scatter tufts, stones, leaves or ripples over the ground, larger towards the viewer."""
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
        _blend(image, mask, np.minimum(color_of(land.ground[0 if lighter else 1]) * factor, 1), 0.4)


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
            _NO_DISCS,
        )
    elif cover == "stones":
        t = np.linspace(0, 2 * np.pi, 9, endpoint=False)
        wide = size * float(rng.uniform(0.4, 1.3))
        fill(
            mask,
            np.column_stack([x + wide * np.cos(t), y + wide * 0.5 * np.sin(t)]).astype(np.float32),
            _NO_DISCS,
        )
    else:
        long = size * float(rng.uniform(1.5, 5.0))
        stroke(
            mask,
            [curve([(x - long, y), (x, y - size * 0.25), (x + long, y + size * 0.1)], 8)],
            size * 0.14,
        )


def paint_foreground(
    scene: Scene, rng: np.random.Generator, height: int, width: int
) -> Floats | None:
    """Paint what stands in front of the beast: blades, leaves or stones.

    Args:
        scene: the landscape.
        rng: draws whether and where.
        height: rows.
        width: columns.

    Returns:
        Premultiplied float32 (height, width, 4), or None for no foreground.
    """
    if rng.random() > 0.45:
        return None
    kind = {"grass": "blades", "water": "blades", "litter": "leaves", "ripples": "stones"}.get(
        scene.land.cover, "stones"
    )
    base = color_of(scene.land.ground[1]) * np.float32(rng.uniform(0.55, 1.05))
    layer = np.zeros((height, width, 4), np.float32)
    middle = float(rng.uniform(0.1, 0.9)) * width
    spread = width * float(rng.uniform(0.08, 0.3))
    for row in range(3):
        mask = np.zeros((height, width), np.uint8)
        for _ in range({"blades": 9, "leaves": 3, "stones": 1}[kind]):
            _FOREGROUND[kind](mask, rng, float(rng.normal(middle, spread)), height)
        tint = base * np.float32(0.8 + 0.22 * row) + np.float32(0.02 * row)
        if kind == "stones":
            top = blur(mask.astype(np.float32), 0.03 * width) / np.float32(255)
            # Lit at the rim, dark towards the foot.
            color = np.clip(tint * (1.45 - 0.75 * top[..., None]), 0, 1)
        else:
            fade = np.linspace(1.35, 0.75, height, dtype=np.float32)[:, None, None]
            color = np.clip(tint * fade, 0, 1) * np.ones((1, width, 1), np.float32)
        cover = (mask.astype(np.float32) / 255)[..., None]
        layer *= 1 - cover
        layer += np.dstack([color, np.ones((height, width), np.float32)]) * cover
    return blur(layer, float(rng.uniform(0.0, 0.8)) * width / 160)


def _blade(mask: Bytes, rng: np.random.Generator, x: float, height: int) -> None:
    tall = height * float(rng.uniform(0.12, 0.42))
    tip = (x + tall * float(rng.normal(0, 0.3)), height - tall)
    fill(
        mask,
        leaf(
            (x, height + 3),
            tip,
            height * float(rng.uniform(0.012, 0.026)),
            float(rng.normal(0, 0.08)),
            0.25,
        ).outline,
        _NO_DISCS,
    )


def _frond(mask: Bytes, rng: np.random.Generator, x: float, height: int) -> None:
    tall = height * float(rng.uniform(0.12, 0.3))
    turn = float(rng.normal(0, 0.7))
    tip = (x + tall * float(np.sin(turn)), height - tall * float(np.cos(turn)) * 0.9)
    fill(
        mask,
        leaf(
            (x, height + 4),
            tip,
            tall * float(rng.uniform(0.22, 0.4)),
            float(rng.normal(0, 0.1)),
            0.45,
        ).outline,
        _NO_DISCS,
    )


def _stone(mask: Bytes, rng: np.random.Generator, x: float, height: int) -> None:
    wide = height * float(rng.uniform(0.06, 0.18))
    tall = height * float(rng.uniform(0.05, 0.16))
    t = np.linspace(np.pi, 2 * np.pi, 9)
    bumpy = rng.uniform(0.85, 1.12, 9)
    outline = np.column_stack([x + wide * np.cos(t) * bumpy, height + 2 + tall * np.sin(t) * bumpy])
    fill(mask, curve(outline.astype(np.float32), 30), _NO_DISCS)


_FOREGROUND = {"blades": _blade, "leaves": _frond, "stones": _stone}
