"""Species + random pose -> `Figure` of an insect: beetles, moths and caterpillars.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink
from bestiary.beasts.outlines import (
    Point,
    Shape,
    between,
    closed,
    curve,
    disc,
    leaf,
    oval,
    reach,
    rotated,
    sweep,
)
from bestiary.beasts.raster import floats
from bestiary.beasts.species import Species


def _jointed_leg(root: Point, length: float, aim: float, bend: float, thick: float) -> Shape:
    """A thin leg of three joints from `root` in direction `aim`, folded by `bend`."""
    knee = reach(root, length * 0.4, aim)
    ankle = reach(knee, length * 0.4, aim + bend)
    return sweep(
        [root, knee, ankle, reach(ankle, length * 0.28, aim + bend * 0.5)],
        [thick, thick * 0.9, thick * 0.5, 0.008],
        16,
    )


def pose_beetle(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a beetle seen from above.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    half = between(0.36, 0.56, build.length)
    wide = between(0.2, 0.38, build.girth)
    reach_of = between(0.34, 0.66, build.limb)
    thick = between(0.022, 0.042, build.girth)
    legs = []
    for side in (-1, 1):
        for x, aim in ((0.24, 0.95), (0.02, 1.6), (-0.22, 2.25)):
            swing = float(rng.normal(0, 0.13))
            bend = 0.75 if aim > 1.2 else -0.8
            legs.append(
                _jointed_leg(
                    (x, side * wide * 0.7), reach_of, side * (aim + swing), side * bend, thick
                )
            )
    tail = between(0.75, 1.0, build.tail)
    wing_case = closed(
        [
            (0.2, -wide * 0.82),
            (0.0, -wide),
            (-half * 0.55, -wide * 0.9),
            (-half * tail - 0.14, -wide * 0.2),
            (-half * tail - 0.14, wide * 0.2),
            (-half * 0.55, wide * 0.9),
            (0.0, wide),
            (0.2, wide * 0.82),
        ],
        64,
    )
    broad = between(0.65, 0.98, build.neck) * wide
    chest = closed(
        [
            (0.17, -broad),
            (0.3, -broad * 0.98),
            (0.4, -broad * 0.6),
            (0.4, broad * 0.6),
            (0.3, broad * 0.98),
            (0.17, broad),
        ],
        48,
    )
    size = between(0.1, 0.17, build.head)
    head = oval(0.42 + size * 0.35, 0, size, size * 1.05)
    front = 0.42 + size * 1.1
    parts = [
        Part(tuple(legs), "horn", marks=0),
        Part(tuple(_beetle_front(species, rng, front, size)), "horn", marks=0),
    ]
    seam = [floats([(0.19, 0), (-half * tail - 0.14, 0)])]
    grooves = [
        curve(
            [
                (0.17, wide * y),
                (-half * 0.5, wide * y * 1.05),
                (-half * tail * 0.95, wide * y * 0.4),
            ],
            12,
        )
        for y in (-0.62, -0.32, 0.32, 0.62)
    ]
    eyes = [
        Part((disc(0.43 + size * 0.45, side * size * 0.85, size * 0.27),), "dark", marks=0)
        for side in (-1, 1)
    ]
    parts += [Part((head,), "accent", marks=0.2), *eyes, Part((wing_case,)), ink(seam, 0.016, 0.75)]
    if species.form % 3 == 0:
        parts.append(ink(grooves, 0.012, 0.35))
    parts.append(Part((chest,), "coat" if species.form % 2 else "accent", marks=0.5))
    if species.back == "spines":
        horn = leaf((0.28, 0), (0.55 + between(0.05, 0.3, build.fin), 0), 0.11, 0, 0.1)
        parts.append(Part((horn,), "horn", marks=0))
    return Figure(tuple(parts), "lying")


def _beetle_front(
    species: Species, rng: np.random.Generator, front: float, size: float
) -> list[Shape]:
    """Feelers, and jaws or antlers, at the front of a head seen from above."""
    found = []
    length = between(0.3, 0.85, species.build.fin)
    for side in (-1, 1):
        turn = float(rng.normal(0, 0.15))
        root = (front - size * 0.4, side * size * 0.6)
        middle = reach(root, length * 0.5, side * 0.75 + turn)
        tip = reach(middle, length * 0.6, side * (0.25 if species.form % 2 else 1.3) + turn)
        found.append(sweep([root, middle, tip], [0.02, 0.014]))
        if species.tail_tip == 1:
            found.append(disc(tip[0], tip[1], 0.04))
        if species.headgear in ("horns", "antlers"):
            jaw_root = (front - size * 0.3, side * size * 0.45)
            bow = reach(jaw_root, size * between(0.9, 1.7, species.build.snout), side * 0.6)
            end = reach(bow, size * between(0.8, 1.5, species.build.snout), -side * 0.45)
            found.append(sweep([jaw_root, bow, end], [size * 0.3, size * 0.22, 0.012]))
            if species.headgear == "antlers":
                found.append(
                    sweep([bow, reach(bow, size * 0.7, -side * 0.9)], [size * 0.17, 0.012], 8)
                )
    return found


def pose_moth(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a moth with spread wings, seen from above, head up.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    span = between(0.5, 0.85, build.fin)
    tall = between(0.24, 0.5, build.limb)
    raised = float(rng.uniform(-0.22, 0.22))
    hind_long = between(0.3, 0.7, build.tail)
    wings: list[Part] = []
    # The far pair of wings is foreshortened.
    closing = float(rng.uniform(0.72, 1.0))
    for side, fold in ((-1.0, closing), (1.0, 1.0)):
        hind = _lobe(
            side * fold,
            [
                (0.03, 0.02),
                (0.3, -0.02),
                (0.72 * span / 0.7, 0.12),
                (0.62, hind_long * 0.75),
                (0.33, hind_long),
                (0.08, 0.3),
            ],
            -raised * 0.6,
        )
        tip = -tall * 1.05
        fore = _lobe(
            side * fold,
            [
                (0.03, -0.16),
                (0.3, tip * 0.9),
                (span, tip * (1.15 if species.form % 2 else 0.85)),
                (span * 1.05, tip * 0.45),
                (span * 0.8, 0.1),
                (0.3, 0.12),
                (0.03, 0.06),
            ],
            raised,
        )
        wings += [Part((hind,), "accent", marks=0.5, relief=0.35)]
        if species.tail_tip == 2:
            wings.append(
                Part(
                    (
                        leaf(
                            (side * fold * 0.38, hind_long * 0.8),
                            (side * fold * 0.5, hind_long + 0.3),
                            0.11,
                            0.1 * side,
                            0.75,
                        ),
                    ),
                    "accent",
                    marks=0.5,
                    relief=0.4,
                )
            )
        wings += [Part((fore,), relief=0.35), _veins(side * fold, span, tip, raised)]
        if species.form % 3 == 0 or species.coat.pattern == "rosettes":
            wings += _eyespot(side * fold, span * 0.62, tip * 0.35, 0.1, raised) + _eyespot(
                side * fold, 0.42, hind_long * 0.5, 0.085, -raised * 0.6
            )
    girth = between(0.06, 0.12, build.girth)
    abdomen = sweep(
        [(0, 0.0), (0, 0.25), (0, between(0.38, 0.6, build.length))], [girth * 0.9, girth, 0.03]
    )
    rings = [floats([(-girth * 0.8, y), (girth * 0.8, y)]) for y in (0.14, 0.21, 0.28, 0.35)]
    size = between(0.055, 0.09, build.head)
    eyes = [
        Part((disc(side * size * 0.75, -0.27, size * 0.42),), "dark", marks=0) for side in (-1, 1)
    ]
    parts = (
        *_moth_feelers(species, rng, size),
        *wings,
        Part((abdomen,), "coat", marks=0.6),
        ink(rings, 0.014, 0.4),
        Part((oval(0, -0.08, girth * 1.25, 0.15),), "pale", marks=0.3),
        Part((disc(0, -0.25, size),), "pale", marks=0.2),
        *eyes,
    )
    return Figure(parts, "lying" if species.index % 2 else "hovering")


def _lobe(side: float, points: list[Point], turn: float) -> Shape:
    """A wing from its points for the right side, turned about its root.

    `side` is the sign and the width of the wing.
    """
    lobe = closed(points, 60)
    moved = rotated(lobe.outline, -turn, (0.03, -0.05))
    return Shape((moved * floats([side, 1])).astype(np.float32), lobe.discs)


def _veins(side: float, span: float, tip: float, turn: float) -> Part:
    ends = [(span * 0.95, tip * 0.85), (span * 0.98, tip * 0.45), (span * 0.8, tip * 0.1)]
    lines = [
        rotated(curve([(0.06, -0.1), (x * 0.5, (y - 0.1) * 0.55), (x, y)], 8), -turn, (0.03, -0.05))
        for x, y in ends
    ]
    return ink([(line * floats([side, 1])).astype(np.float32) for line in lines], 0.009, 0.3)


def _eyespot(side: float, x: float, y: float, radius: float, turn: float) -> list[Part]:
    """The rings of an eyespot on a wing."""
    spot = rotated(floats([[x, y]]), -turn, (0.03, -0.05))[0]
    at_x = float(spot[0]) * side
    at_y = float(spot[1])
    wide = radius * abs(side)
    rings = ((1.0, "dark"), (0.8, "pale"), (0.58, "iris"), (0.3, "dark"))
    return [
        Part((oval(at_x, at_y, wide * share, radius * share),), paint, marks=0, relief=0)
        for share, paint in rings
    ]


def _moth_feelers(species: Species, rng: np.random.Generator, size: float) -> list[Part]:
    """Two feelers; some species have combs on them."""
    length = between(0.2, 0.5, species.build.snout)
    lines = []
    for side in (-1, 1):
        root = (side * size * 0.4, -0.29)
        turn = float(rng.normal(0, 0.12))
        shaft = curve(
            [
                root,
                reach(root, length * 0.6, -np.pi / 2 + side * 0.45 + turn),
                reach(root, length, -np.pi / 2 + side * 0.8 + turn),
            ],
            12,
        )
        lines.append(shaft)
        if species.headgear in ("antlers", "crest", "feelers"):
            for row in range(2, 12):
                comb = 0.075 * np.sin(row / 12 * np.pi) + 0.012
                x = float(shaft[row][0])
                y = float(shaft[row][1])
                lines += [
                    floats([(x, y), reach((x, y), comb, -np.pi / 2 + side * 1.5)]),
                    floats([(x, y), reach((x, y), comb, -np.pi / 2 - side * 0.2)]),
                ]
    return [Part((), "horn", tuple(lines), 0.018, 0, 0)]


def pose_caterpillar(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a caterpillar that arches its back.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    count = 10 + species.form % 4
    girth = between(0.12, 0.19, build.girth)
    length = between(1.1, 1.5, build.length)
    arch = float(rng.uniform(0.0, 0.3))
    raised = float(rng.uniform(0.0, 0.35))
    share = np.linspace(0, 1, count)
    hump = np.exp(-(((share - float(rng.uniform(0.3, 0.55))) / 0.16) ** 2)) * arch
    ys = 0.2 - hump - raised * np.clip((share - 0.72) / 0.28, 0, 1) ** 1.5
    xs = (share - 0.5) * length * (1 - 0.25 * arch)
    swell = girth * (0.72 + 0.28 * np.sin(np.pi * np.clip(share * 1.1, 0, 1)))
    parts: list[Part] = []
    feet = [
        sweep(
            [(float(x), float(y)), (float(x) + 0.015, float(y) + girth * 1.35)],
            [girth * 0.36, girth * 0.26],
            6,
        )
        for x, y, s in zip(xs, ys, share, strict=True)
        if 0.12 < s < 0.62 or s < 0.05
    ]
    hooks = [
        leaf((float(x), float(y) + girth * 0.6), (float(x) + 0.08, float(y) + girth * 1.5), 0.06)
        for x, y in zip(xs[-4:-1], ys[-4:-1], strict=True)
    ]
    parts += [Part(tuple(feet), marks=0.2, shade=0.85), Part(tuple(hooks), "horn", marks=0)]
    bristles = []
    tall = between(0.14, 0.4, build.fin)
    for x, y in zip(xs[:-1], ys[:-1], strict=True):
        for turn in (-0.5, 0.0, 0.45):
            root = (float(x), float(y) - girth * 0.7)
            bristles.append(
                leaf(
                    root,
                    reach(
                        root,
                        tall * (1 - 0.3 * abs(turn)),
                        -np.pi / 2 + turn + float(rng.normal(0, 0.08)),
                    ),
                    0.04,
                    0,
                    0.2,
                )
            )
    if species.back != "none":
        parts.append(Part(tuple(bristles), "accent", marks=0, relief=0.6))
    for x, y, radius in zip(xs, ys, swell, strict=True):
        parts.append(Part((oval(float(x), float(y), float(radius) * 0.92, float(radius)),)))
    knobs = [
        disc(float(x), float(y) - girth * 0.35, girth * 0.2)
        for x, y in zip(xs[:-1], ys[:-1], strict=True)
    ]
    if species.tail_tip:
        parts.append(Part(tuple(knobs), "accent", marks=0))
    end = (float(xs[0]), float(ys[0]) - girth * 0.5)
    if species.tail_tip == 2:
        parts.append(
            Part((leaf(end, reach(end, 0.3, -np.pi / 2 - 0.6), 0.09, 0.1, 0.1),), "horn", marks=0)
        )
    size = girth * between(0.95, 1.25, build.head)
    head = (float(xs[-1]) + size * 0.75, float(ys[-1]) + 0.01)
    behind, before = headgear(species, (head[0], head[1] - size * 0.8), size, -np.pi / 2)
    face = Part((disc(*head, size),), "accent" if species.form % 2 else "coat", marks=0.2)
    smile = ink(
        [
            curve(
                [
                    (head[0] + size * 0.25, head[1] + size * 0.5),
                    (head[0] + size * 0.55, head[1] + size * 0.5),
                    (head[0] + size * 0.8, head[1] + size * 0.3),
                ],
                6,
            )
        ],
        0.014,
    )
    return Figure(
        (
            *parts,
            *behind,
            face,
            smile,
            *eye(head[0] + size * 0.4, head[1] - size * 0.1, size * 0.24),
            *before,
        ),
        "standing",
    )
