"""Species + random pose -> `Figure` of a fish with its fins.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink
from bestiary.beasts.outlines import Point, Shape, between, curve, reach, sweep
from bestiary.beasts.raster import NO_DISCS, Floats, floats
from bestiary.beasts.species import Species


def pose_fish(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a swimming fish, bent a little.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    half = between(0.48, 0.75, build.length)
    deep = between(0.14, 0.42, build.girth)
    bend = float(rng.uniform(-0.1, 0.1))
    peduncle = (-half * 0.82, bend * 0.4)
    snout = (half + between(0.0, 0.22, build.snout), -bend * 0.3)
    spine = curve([snout, (half * 0.5, 0), (0, -bend * 0.5), peduncle], 23)
    share = np.linspace(0, 1, 23, dtype=np.float32)
    swell = (
        deep * np.abs(np.sin(np.pi * share ** between(0.55, 0.85, build.head))) ** 0.75
        + 0.045 * share
        + 0.012
    )
    body = sweep(spine, swell.tolist(), 34)
    top = spine - np.column_stack([0 * swell, swell * 0.9])
    bottom = spine + np.column_stack([0 * swell, swell * 0.9])
    parts = _tail_fin(species, rng, peduncle)
    tall = between(0.1, 0.42, build.fin)
    first = 6
    last = 18
    rise = tall * np.sin(np.linspace(0.5, 3.0, last - first)) ** (0.6 if species.form % 2 else 1.4)
    jag = 1 + (0.22 * np.cos(np.arange(last - first) * np.pi) if species.back == "spines" else 0)
    crest = top[first:last] - np.column_stack([0.35 * rise, rise * jag])
    parts += _fin(top[first:last].astype(np.float32), crest.astype(np.float32))
    drop = 0.6 * tall * np.sin(np.linspace(0.4, 3.0, 6))
    parts += _fin(
        bottom[13:19].astype(np.float32),
        (bottom[13:19] + np.column_stack([-0.8 * drop, drop])).astype(np.float32),
    )
    parts.append(Part((body,)))
    parts += _fish_face(species, spine, swell, deep)
    shoulder = (float(spine[9][0]), float(spine[9][1]) + deep * 0.3)
    flap = float(rng.uniform(-0.5, 0.4))
    blades = [
        reach(
            shoulder, between(0.16, 0.36, build.limb) * (1 - 0.1 * k), np.pi - 0.9 + flap + 0.22 * k
        )
        for k in range(5)
    ]
    base = np.linspace(
        (shoulder[0], shoulder[1] - 0.04), (shoulder[0] - 0.02, shoulder[1] + 0.05), 5
    ).astype(np.float32)
    return Figure((*parts, *_fin(base, floats(blades[::-1]))), "hovering")


def _fin(base: Floats, tips: Floats, paint: str = "accent", shade: float = 1.0) -> list[Part]:
    """A web between the lines `base` and `tips`, each (n, 2), with its rays."""
    web = Shape(np.vstack([base, tips[::-1]]).astype(np.float32), NO_DISCS)
    rays = [np.stack([base[k], tips[k]]) for k in range(len(base))]
    return [
        Part((web,), paint, marks=0.3, relief=0.35, shade=shade, opacity=0.93),
        ink(rays, 0.009, 0.35),
    ]


def _tail_fin(species: Species, rng: np.random.Generator, root: Point) -> list[Part]:
    """A round, forked or fanned tail fin."""
    length = between(0.22, 0.5, species.build.tail)
    turns = np.linspace(-0.75, 0.75, 9) + float(rng.uniform(-0.12, 0.12))
    outer = np.linspace(-1, 1, 9)
    depth = (1 - 0.2 * outer**2, 0.5 + 0.6 * np.abs(outer), 0.9 + 0.12 * np.cos(6.7 * outer))[
        species.tail_tip
    ] * length
    tips = floats(
        [
            reach(root, float(far), np.pi + float(turn))
            for far, turn in zip(depth, turns, strict=True)
        ]
    )
    base = np.linspace(
        (root[0] + 0.04, root[1] + 0.05), (root[0] + 0.04, root[1] - 0.05), 9
    ).astype(np.float32)
    return _fin(base, tips)


def _fish_face(species: Species, spine: Floats, swell: Floats, deep: float) -> list[Part]:
    """Eye, mouth, gill cover and headgear of a fish."""
    at = spine[4]
    look = (float(at[0]), float(at[1]) - float(swell[4]) * 0.25)
    size = between(0.045, 0.085, species.build.head)
    lip = (float(spine[0][0]), float(spine[0][1]) + 0.02)
    mouth = curve([lip, (lip[0] - 0.06, lip[1] + 0.02), (lip[0] - 0.12, lip[1] + 0.055)], 8)
    gill_x = float(spine[8][0])
    gill_y = float(spine[8][1])
    gill = curve(
        [
            (gill_x + 0.02, gill_y - deep * 0.55),
            (gill_x - 0.05, gill_y),
            (gill_x + 0.03, gill_y + deep * 0.6),
        ],
        10,
    )
    crown = (float(spine[5][0]), float(top_of(spine, swell, 5)))
    behind, before = headgear(species, crown, size * 1.5, -np.pi / 2 - 0.4)
    gear = [*behind, *before] if species.headgear in ("horns", "feelers", "crest") else []
    return [*gear, ink([mouth, gill], 0.014, 0.55), *eye(*look, size)]


def top_of(spine: Floats, swell: Floats, row: int) -> float:
    """Return the y of the back at a row of the spine."""
    return float(spine[row][1] - swell[row] * 0.92)
