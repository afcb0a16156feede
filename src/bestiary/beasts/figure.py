"""The parts of a posed beast before painting, and the pieces that body plans share.

All lengths are in beast units, x to the front, y down, the body's middle near the origin. Knows
outlines and names of colors; knows nothing of pixels or light.
"""

from dataclasses import dataclass

import numpy as np

from bestiary.beasts.outlines import (
    DOWN,
    Point,
    Shape,
    between,
    curve,
    disc,
    leaf,
    oval,
    reach,
    sweep,
)
from bestiary.beasts.raster import Floats, floats
from bestiary.beasts.species import Species


@dataclass(frozen=True, slots=True)
class Part:
    """Shapes that are painted as one rounded body.

    Attributes:
        shapes: outlines that are united; each swells by its own depth.
        paint: ``coat``, ``accent``, ``horn``, ``pale``, ``iris`` or ``dark``.
        lines: open lines (n, 2) that are drawn as flat strokes after the shapes.
        width: width of the lines.
        relief: 0 (flat) to 1 (round).
        marks: how strongly the coat's marks show, 0 to 1.
        shade: factor of brightness; limbs on the far side are darker.
        opacity: 0 to 1.
    """

    shapes: tuple[Shape, ...] = ()
    paint: str = "coat"
    lines: tuple[Floats, ...] = ()
    width: float = 0.01
    relief: float = 1.0
    marks: float = 1.0
    shade: float = 1.0
    opacity: float = 1.0


@dataclass(frozen=True, slots=True)
class Figure:
    """A posed beast.

    Attributes:
        parts: from the farthest to the nearest.
        stance: ``standing`` (on its lowest point), ``lying`` (seen from above) or ``hovering``.
    """

    parts: tuple[Part, ...]
    stance: str


def eye(x: float, y: float, radius: float) -> list[Part]:
    """Build an eye: rim, iris, pupil and glint."""
    return [
        Part((disc(x, y, radius * 1.22),), "dark", marks=0, relief=0.2),
        Part((disc(x, y, radius),), "iris", marks=0, relief=0.3),
        Part(
            (oval(x + radius * 0.12, y, radius * 0.55, radius * 0.68),), "dark", marks=0, relief=0
        ),
        Part(
            (disc(x + radius * 0.3, y - radius * 0.38, radius * 0.3),), "glint", marks=0, relief=0
        ),
    ]


def ink(lines: list[Floats], width: float, opacity: float = 0.6) -> Part:
    """Build dark strokes: a mouth, a seam, the rays of a fin."""
    return Part((), "dark", tuple(lines), width, 0, 0, 1, opacity)


def headgear(
    species: Species, at: Point, size: float, lean: float
) -> tuple[list[Part], list[Part]]:
    """Build what grows on a head: horns, antlers, a crest, ears or feelers.

    Args:
        species: decides the kind of headgear.
        at: the crown of the head.
        size: radius of the head.
        lean: direction in radians in which the headgear rises; -pi/2 is straight up.

    Returns:
        Parts behind the head, and parts in front of it.
    """
    painter = {
        "horns": _horns,
        "antlers": _antlers,
        "crest": _crest,
        "ears": _ears,
        "feelers": _feelers,
    }
    if species.headgear not in painter:
        return [], []
    return painter[species.headgear](species, at, size, lean)


def _horns(species: Species, at: Point, size: float, lean: float) -> tuple[list[Part], list[Part]]:
    curl = (-0.9, 0.55, -0.25)[species.form % 3]
    length = size * between(1.5, 2.8, species.build.fin)

    def horn(shift: float, shade: float) -> Part:
        base = (at[0] + shift, at[1] + 0.1 * size)
        middle = reach(base, length * 0.5, lean + 0.1)
        tip = reach(middle, length * 0.6, lean + curl)
        return Part(
            (sweep([base, middle, tip], [size * 0.26, size * 0.18, 0.008]),),
            "horn",
            marks=0,
            shade=shade,
        )

    return [horn(size * 0.3, 0.72)], [horn(-size * 0.12, 1.0)]


def _antlers(
    species: Species, at: Point, size: float, lean: float
) -> tuple[list[Part], list[Part]]:
    length = size * between(2.2, 3.4, species.build.fin)
    tines = 2 + species.form % 2

    def antler(shift: float, shade: float) -> Part:
        base = (at[0] + shift, at[1] + 0.1 * size)
        beam = curve(
            [base, reach(base, length * 0.5, lean - 0.35), reach(base, length, lean + 0.05)], 13
        )
        shapes = [sweep(beam, [size * 0.15, size * 0.11, 0.012], 14)]
        for number in range(tines):
            root = beam[3 + 3 * number]
            tip = reach(
                (float(root[0]), float(root[1])), length * (0.42 - 0.07 * number), lean + 0.75
            )
            bow = reach((float(root[0]), float(root[1])), length * 0.2, lean + 1.0)
            shapes.append(
                sweep([(float(root[0]), float(root[1])), bow, tip], [size * 0.1, 0.01], 9)
            )
        return Part(tuple(shapes), "horn", marks=0, shade=shade)

    return [antler(size * 0.32, 0.7)], [antler(-size * 0.1, 1.0)]


def _crest(species: Species, at: Point, size: float, lean: float) -> tuple[list[Part], list[Part]]:
    count = 5 + species.form % 3
    plumes = []
    for number in range(count):
        share = number / (count - 1)
        base = (
            at[0] + size * between(0.3, -0.75, share),
            at[1] + size * between(0.05, 0.45, share),
        )
        tip = reach(
            base,
            size * between(1.0, 1.9, species.build.fin) * (1 - 0.35 * share),
            lean + 0.3 - 1.2 * share,
        )
        plumes.append(leaf(base, tip, size * 0.42, -0.12, 0.65))
    return [Part(tuple(plumes), "accent", marks=0, relief=0.7)], []


def _ears(species: Species, at: Point, size: float, lean: float) -> tuple[list[Part], list[Part]]:
    length = size * between(1.0, 2.2, species.build.fin)
    width = size * (0.6, 0.95)[species.form % 2]

    def ear(shift: float, turn: float) -> tuple[Point, Point]:
        base = (at[0] + shift, at[1] + 0.3 * size)
        return base, reach(base, length, lean + turn)

    far = ear(size * 0.35, 0.2)
    near = ear(-size * 0.25, -0.3)
    inner = (near[0], reach(near[0], length * 0.85, lean - 0.3))
    return [Part((leaf(*far, width, 0.05),), shade=0.72)], [
        Part((leaf(*near, width, -0.05),)),
        Part((leaf(*inner, width * 0.5, -0.05),), "pale", marks=0, relief=0.3, shade=0.8),
    ]


def _feelers(
    species: Species, at: Point, size: float, lean: float
) -> tuple[list[Part], list[Part]]:
    length = size * between(1.7, 3.0, species.build.fin)

    def feeler(shift: float, turn: float, shade: float) -> Part:
        base = (at[0] + shift, at[1] + 0.15 * size)
        middle = reach(base, length * 0.55, lean + turn)
        tip = reach(middle, length * 0.5, lean + turn + 0.9)
        knob = disc(tip[0], tip[1], size * (0.17, 0.1)[species.form % 2])
        return Part(
            (sweep([base, middle, tip], [size * 0.1, size * 0.05]), knob),
            "accent",
            marks=0,
            shade=shade,
        )

    return [feeler(size * 0.35, 0.35, 0.72)], [feeler(0, 0.0, 1.0)]


def bent_leg(
    hip: Point, length: float, swing: float, girth: float, knee: float
) -> tuple[list[Shape], Shape]:
    """Build a leg with one bend, and its foot.

    Args:
        hip: where the leg leaves the body.
        length: from the hip to the ankle of a straight leg, about.
        swing: radians from straight down.
        girth: sets the radii of the leg.
        knee: radians of the bend; a positive knee bends backwards.

    Returns:
        The shapes of the leg, and the foot.
    """
    joint = reach(hip, length * 0.5, DOWN + swing - knee)
    ankle = reach(joint, length * 0.46, DOWN + swing * 0.6 + knee * 0.75)
    limb = sweep([hip, joint, ankle], [girth * 1.55, girth * 0.85, girth * 0.52, girth * 0.48])
    toe = (ankle[0] + girth * 0.75, ankle[1] + length * 0.05)
    return [limb], sweep([ankle, toe], [girth * 0.52, girth * 0.5], 8)


def ridge(species: Species, spine: Floats, size: float) -> list[Part]:
    """Build what grows along a back: spines or a sail.

    Args:
        species: decides the kind.
        spine: float32 (n, 2), from the neck to the tail.
        size: the greatest height.

    Returns:
        The parts; none for a plain back.
    """
    if species.back == "spines":
        lean = -np.pi / 2 - 0.4
        spots = spine[:: max(1, len(spine) // 9)]
        heights = size * (0.55 + 0.45 * np.sin(np.linspace(0.3, 2.9, len(spots))))
        blades = [
            leaf(
                (float(x), float(y) + 0.03),
                reach((float(x), float(y)), float(h), lean),
                size * 0.55,
                0,
                0.05,
            )
            for (x, y), h in zip(spots, heights, strict=True)
        ]
        return [Part(tuple(blades), "horn" if species.form % 2 else "accent", marks=0, relief=0.7)]
    if species.back == "sail":
        t = np.linspace(0, np.pi, len(spine), dtype=np.float32)
        rise = np.column_stack([-0.35 * size * np.sin(t), -1.5 * size * np.abs(np.sin(t)) ** 0.8])
        top = (spine + rise).astype(np.float32)
        web = Shape(
            np.vstack([spine + floats([0, 0.05]), top[::-1]]).astype(np.float32),
            np.zeros((0, 3), np.float32),
        )
        rays = [
            np.stack([spine[k], top[k]]) for k in range(1, len(spine) - 1, max(1, len(spine) // 9))
        ]
        return [Part((web,), "accent", marks=0.35, relief=0.3), ink(rays, 0.012, 0.35)]
    return []
