"""Species + random pose -> `Figure` of a crab or a snail, with or without a shell.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink
from bestiary.beasts.outlines import Point, between, closed, curve, leaf, oval, reach, sweep
from bestiary.beasts.species import Species


def pose_crab(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a crab seen from the front.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    wide = between(0.36, 0.58, build.length)
    tall = between(0.2, 0.36, build.girth)
    long = between(0.36, 0.68, build.limb)
    thick = between(0.03, 0.055, build.girth)
    legs = []
    for side in (-1, 1):
        for number in range(4):
            root = (side * wide * (0.85 - 0.13 * number), tall * (0.25 + 0.12 * number))
            lift = -0.55 + 0.3 * number + float(rng.normal(0, 0.1))
            knee = reach(root, long * 0.55, lift if side > 0 else np.pi - lift)
            foot = (
                knee[0] + side * long * (0.28 - 0.08 * number),
                tall * 0.9 + long * 0.42 + float(rng.normal(0, 0.02)),
            )
            limb = sweep(
                [
                    root,
                    knee,
                    ((knee[0] * 0.45 + foot[0] * 0.55) + side * 0.03, (knee[1] + foot[1]) / 2),
                    foot,
                ],
                [thick, thick * 1.05, thick * 0.7, 0.01],
                18,
            )
            legs.append(Part((limb,), marks=0.6, shade=0.7 + 0.09 * (3 - number)))
    shell = closed(
        [
            (-wide, -tall * 0.15),
            (-wide * 0.72, -tall * 0.75),
            (-wide * 0.25, -tall),
            (wide * 0.25, -tall),
            (wide * 0.72, -tall * 0.75),
            (wide, -tall * 0.15),
            (wide * 0.6, tall * 0.72),
            (0, tall * 0.9),
            (-wide * 0.6, tall * 0.72),
        ],
        72,
    )
    parts = [*legs]
    uneven = between(0.55, 1.0, build.fin)
    for side, share in ((-1, 1.0), (1, uneven)):
        parts += _claw(
            species,
            rng,
            (side * wide * 0.85, tall * 0.1),
            side,
            share * between(0.75, 1.25, build.snout),
        )
    stalk = between(0.06, 0.26, build.neck)
    for side in (-1, 1):
        root = (side * wide * 0.26, -tall * 0.88)
        top = reach(root, stalk + 0.05, -np.pi / 2 + side * 0.3)
        parts += [
            Part((sweep([root, top], [0.035, 0.028], 6),), marks=0.2),
            *eye(*top, between(0.05, 0.085, build.head)),
        ]
    edge = []
    if species.back != "none":
        edge = [
            leaf(
                (side * wide * x, y * tall),
                (side * wide * (x + 0.16), (y - 0.32) * tall),
                0.1,
                0,
                0.1,
            )
            for side in (-1, 1)
            for x, y in ((0.93, -0.2), (0.78, -0.55), (0.55, -0.78))
        ]
        parts.append(Part(tuple(edge), "horn", marks=0))
    gear_behind, gear_before = headgear(species, (0, -tall * 0.95), 0.1, -np.pi / 2)
    gear = (
        [*gear_behind, *gear_before] if species.headgear in ("horns", "feelers", "antlers") else []
    )
    lip = curve([(-wide * 0.3, tall * 0.42), (0, tall * 0.52), (wide * 0.3, tall * 0.42)], 10)
    return Figure((*parts, *gear, Part((shell,)), ink([lip], 0.018, 0.5)), "standing")


def _claw(
    species: Species, rng: np.random.Generator, root: Point, side: float, size: float
) -> list[Part]:
    """An arm and its pincer, more or less open."""
    lift = float(rng.uniform(-0.9, 0.25))
    aim = lift if side > 0 else np.pi - lift
    elbow = reach(root, 0.24, aim)
    wrist = reach(elbow, 0.2 * size + 0.06, aim - side * 0.9)
    arm = Part((sweep([root, elbow, wrist], [0.055, 0.06, 0.05]),), marks=0.5)
    hand_aim = aim - side * 1.25
    palm = reach(wrist, 0.12 * size, hand_aim)
    gape = float(rng.uniform(0.15, 0.5))
    fingers = [
        leaf(
            reach(palm, 0.03, hand_aim + np.pi),
            reach(palm, 0.32 * size, hand_aim + turn * gape),
            0.15 * size,
            0.12 * turn,
            0.3,
        )
        for turn in (-1, 1)
    ]
    hand = oval(*palm, 0.15 * size, 0.115 * size, hand_aim)
    return [arm, Part(tuple(fingers), "accent", marks=0), Part((hand,), marks=0.5)]


def pose_snail(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a snail with a coiled shell, or a slug.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    half = between(0.5, 0.72, build.length)
    girth = between(0.07, 0.12, build.girth)
    raised = between(0.1, 0.36, build.neck) * float(rng.uniform(0.6, 1.2))
    head = (half * 0.86, 0.32 - raised)
    bump = float(rng.uniform(-0.02, 0.03))
    foot = sweep(
        [
            (-half, 0.42),
            (-half * 0.4, 0.38 + bump),
            (half * 0.3, 0.38 - bump),
            (half * 0.68, 0.36 - raised * 0.35),
            head,
        ],
        [0.012, girth * 0.9, girth * 1.1, girth, girth * 0.95],
        30,
    )
    sole = sweep([(-half, 0.435), (0, 0.44 + bump / 2), (half * 0.66, 0.43)], [0.01, 0.035, 0.03])
    stalks = []
    long = between(0.16, 0.4, build.fin)
    for turn, shade in ((0.5, 0.75), (-0.1, 1.0)):
        aim = -np.pi / 2 + turn + float(rng.normal(0, 0.15))
        root = (head[0] + 0.02 + turn * 0.06, head[1] - girth * 0.6)
        top = reach(root, long, aim)
        stalks += [
            Part((sweep([root, top], [0.03, 0.02], 6),), marks=0, shade=shade),
            *eye(*top, between(0.03, 0.05, build.head)),
        ]
        low = (head[0] + girth * 0.8, head[1] + girth * 0.2)
        stalks.append(
            Part(
                (sweep([low, reach(low, long * 0.4, 0.3 + turn)], [0.02, 0.012], 6),),
                marks=0,
                shade=shade,
            )
        )
    mouth = ink(
        [
            curve(
                [
                    (head[0] + girth * 0.85, head[1] + girth * 0.45),
                    (head[0] + girth * 0.3, head[1] + girth * 0.55),
                ],
                5,
            )
        ],
        0.012,
        0.5,
    )
    back = [*_shell(species, rng, -half * 0.1)] if species.form % 4 else _bare_back(species, half)
    return Figure(
        (
            Part((sole,), "pale", marks=0),
            *stalks,
            Part(
                (foot,),
                "accent" if species.form % 4 else "coat",
                marks=0.4 if species.form % 4 else 1.0,
            ),
            mouth,
            *back,
        ),
        "standing",
    )


def _shell(species: Species, rng: np.random.Generator, x: float) -> list[Part]:
    """A coiled shell: shrinking balls along a spiral, one part a turn so that seams show."""
    size = between(0.3, 0.44, species.build.head)
    center = (x, 0.34 - size * 0.82)
    shrink = between(0.80, 0.9, species.build.tail)
    high = between(0.75, 1.25, species.build.limb)
    turns = np.linspace(0, 3.1 * 2 * np.pi, 75)
    fall = shrink ** (turns / 1.2)
    start = float(rng.uniform(0.3, 0.7))
    xs = center[0] + size * 0.58 * fall * np.cos(turns + start) - (1 - fall) * 0.05
    ys = (
        center[1]
        + size * 0.58 * fall * np.sin(turns + start) * high
        - (1 - fall) * 0.1 * (high - 0.75)
    )
    line = np.column_stack([xs, ys]).astype(np.float32)
    radii = size * 0.5 * fall
    cuts = [slice(0, 16), slice(14, 28), slice(26, 40), slice(38, 54), slice(52, 75)]
    coils = [
        Part((sweep(line[cut], radii[cut].tolist(), 24),), shade=1.0 - 0.03 * k)
        for k, cut in enumerate(cuts)
    ]
    base = Part((oval(*center, size * 0.8, size * 0.8 * high),), shade=0.7)
    spikes = []
    if species.back == "spines":
        spikes = [
            leaf(
                (float(xs[k]), float(ys[k])),
                reach((float(xs[k]), float(ys[k])), size * 0.85, float(turns[k]) + start),
                0.12,
                0,
                0.3,
            )
            for k in range(12, 26, 3)
        ]
    return [Part(tuple(spikes), "horn", marks=0), base, *coils] if spikes else [base, *coils]


def _bare_back(species: Species, half: float) -> list[Part]:
    """The back of a slug: a mantle and plumes."""
    mantle = Part((oval(half * 0.18, 0.28, half * 0.4, 0.13),), "accent", marks=0.7)
    plumes = [
        leaf(
            (x, 0.32),
            reach((x, 0.32), between(0.2, 0.42, species.build.tail), -np.pi / 2 - 0.35 + x * 0.5),
            0.11,
            0.1,
            0.7,
        )
        for x in np.linspace(-half * 0.75, half * 0.05, 7)
    ]
    return [Part(tuple(plumes), "accent", marks=0, relief=0.8), mantle]
