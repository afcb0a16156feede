"""Scene -> a foreground layer: blades, leaves or stones in front of the beast.

Knows nothing of species.
"""

import numpy as np

from bestiary.beasts.lands import color_of
from bestiary.beasts.outlines import curve, leaf
from bestiary.beasts.raster import NO_DISCS, Bytes, Floats, blur, fill
from bestiary.beasts.scenery import Scene


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
        NO_DISCS,
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
        NO_DISCS,
    )


def _stone(mask: Bytes, rng: np.random.Generator, x: float, height: int) -> None:
    wide = height * float(rng.uniform(0.06, 0.18))
    tall = height * float(rng.uniform(0.05, 0.16))
    t = np.linspace(np.pi, 2 * np.pi, 9)
    bumpy = rng.uniform(0.85, 1.12, 9)
    outline = np.column_stack([x + wide * np.cos(t) * bumpy, height + 2 + tall * np.sin(t) * bumpy])
    fill(mask, curve(outline.astype(np.float32), 30), NO_DISCS)


_FOREGROUND = {"blades": _blade, "leaves": _frond, "stones": _stone}
