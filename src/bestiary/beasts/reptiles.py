"""Species + random pose -> `Figure` of a reptile: lizards, turtles and serpents.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, bent_leg, eye, headgear, ink, ridge
from bestiary.beasts.outlines import DOWN, between, closed, curve, leaf, oval, reach, sweep
from bestiary.beasts.raster import Floats, floats
from bestiary.beasts.species import Species


def pose_lizard(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a lizard seen from above, its body bent.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    girth = between(0.09, 0.2, build.girth)
    tail = between(0.6, 1.3, build.tail)
    sway = float(rng.uniform(0.07, 0.2)) * float(rng.choice([-1, 1]))
    half = between(0.3, 0.46, build.length)
    nose = (half + between(0.22, 0.36, build.head), -sway * 0.7)
    spine = curve(
        [
            nose,
            (half, -sway * 0.2),
            (0, sway),
            (-half, 0),
            (-half - tail * 0.5, -sway * 1.5),
            (-half - tail, sway * float(rng.uniform(-1, 2))),
        ],
        41,
    )
    parts: list[Part] = []
    for row, forward in ((9, 1.0), (20, -1.0)):
        for side in (-1.0, 1.0):
            parts.append(
                _splayed_leg(rng, spine[row], side, forward, between(0.24, 0.42, build.limb), girth)
            )
    radii = [
        girth * 0.42,
        girth * 0.75,
        girth * 0.62,
        girth * 0.9,
        girth,
        girth * 0.85,
        girth * 0.6,
        girth * 0.4,
        girth * 0.26,
        girth * 0.17,
        0.02,
    ]
    parts.append(Part((sweep(spine, radii, 48),)))
    crest = spine[6:34:2]
    if species.back != "none":
        scutes = [oval(float(x), float(y), 0.028, 0.024) for x, y in crest]
        parts.append(Part(tuple(scutes), "accent", marks=0, relief=0.9))
    skull = spine[3]
    for side in (-1.0, 1.0):
        parts.extend(eye(float(skull[0]), float(skull[1]) + side * girth * 0.52, girth * 0.2))
    if species.headgear in ("horns", "crest"):
        crown = (float(spine[6][0]), float(spine[6][1]))
        horns = [
            leaf(
                (crown[0] + 0.04, crown[1] + s * girth * 0.4),
                (crown[0] - 0.2, crown[1] + s * girth * 1.3),
                0.07,
            )
            for s in (-1, 1)
        ]
        parts.append(Part(tuple(horns), "horn", marks=0))
    return Figure(tuple(parts), "lying")


def _splayed_leg(
    rng: np.random.Generator, at: Floats, side: float, forward: float, length: float, girth: float
) -> Part:
    """A bent leg with toes that leaves the spine at `at` to one side."""
    root = (float(at[0]), float(at[1]) + side * girth * 0.45)
    swing = float(rng.uniform(-0.35, 0.35))
    elbow = reach(root, length * 0.55, side * (DOWN - forward * 0.15) + swing)
    foot = reach(
        elbow, length * 0.55, side * (DOWN - forward * (0.95 if forward > 0 else 0.8)) + swing
    )
    aim = side * (DOWN - forward * 0.7) + swing
    toes = [
        sweep([foot, reach(foot, 0.1, aim + turn)], [0.022, 0.01], 6)
        for turn in (-0.7, -0.25, 0.25, 0.7)
    ]
    return Part(
        (sweep([root, elbow, foot], [girth * 0.42, girth * 0.3, girth * 0.2]), *toes), marks=0.7
    )


def pose_turtle(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a turtle under its domed shell.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    half = between(0.42, 0.6, build.length)
    dome = between(0.28, 0.55, build.girth)
    limb = between(0.16, 0.4, build.limb)
    thick = between(0.07, 0.12, build.girth)
    stride = float(rng.uniform(-0.35, 0.35))
    legs = []
    for sign, shade in ((-1.0, 0.62), (1.0, 1.0)):
        for x in (-0.6, 0.6):
            leg, foot = bent_leg(
                (half * x + 0.04 * sign, 0.1), limb + 0.12, stride * sign * np.sign(x), thick, 0.2
            )
            legs.append(Part((*leg, foot), shade=shade, marks=0.4))
    size = between(0.09, 0.15, build.head)
    rise = float(rng.uniform(-0.75, 0.05))
    head_at = reach((half * 0.92, 0.08), between(0.16, 0.42, build.neck), rise)
    neck = sweep(
        [(half * 0.6, 0.12), (half * 0.95, 0.08), head_at], [size * 0.9, size * 0.62, size * 0.7]
    )
    skull = sweep(
        [head_at, reach(head_at, size * between(0.5, 1.3, build.snout), 0.15)], [size, size * 0.5]
    )
    behind, before = headgear(
        species, (head_at[0] - size * 0.2, head_at[1] - size * 0.75), size, -DOWN - 0.5
    )
    peak = between(-0.15, 0.15, build.fin)
    rim = [
        (-half * 1.08, 0.13),
        (-half * 0.85, -dome * 0.42),
        (half * (peak - 0.3), -dome * 0.97),
        (half * (peak + 0.3), -dome * 0.95),
        (half * 0.85, -dome * 0.35),
        (half * 1.05, 0.1),
        (half * 0.5, 0.17),
        (-half * 0.5, 0.18),
    ]
    shell = closed(rim)
    seams = [
        curve(
            [
                (half * x, -dome * (0.93 - abs(x - peak) ** 1.5 * 0.75)),
                (half * x * 1.12, -dome * 0.3),
                (half * x * 1.05, 0.08),
            ],
            10,
        )
        for x in (-0.6, -0.2, 0.2, 0.6)
    ]
    seams.append(
        curve([(-half * 0.96, -dome * 0.12), (0, -dome * 0.3), (half * 0.94, -dome * 0.1)], 14)
    )
    tail = Part(
        (leaf((-half * 0.8, 0.1), (-half - between(0.1, 0.4, build.tail), 0.2), 0.14, 0.1, 0.1),),
        shade=0.85,
    )
    look = (head_at[0] + size * 0.35, head_at[1] - size * 0.25)
    back = curve(
        [(half * 0.75, -dome * 0.5), (half * peak, -dome * 0.97), (-half * 0.8, -dome * 0.5)], 15
    )
    brim = sweep([(-half * 1.06, 0.12), (0, 0.16), (half * 1.04, 0.1)], [0.035, 0.05, 0.035])
    return Figure(
        (
            *legs[:2],
            tail,
            *behind,
            Part((neck, skull), marks=0.3),
            *eye(*look, size * 0.24),
            *before,
            *legs[2:],
            *ridge(species, back, dome * 0.45),
            Part((shell,)),
            ink(seams, 0.014, 0.55),
            Part((brim,), "accent", marks=0.2),
        ),
        "standing",
    )


def pose_serpent(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a serpent that winds along the ground with its head raised.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    girth = between(0.06, 0.12, build.girth)
    waves = 2 + species.form % 2
    length = between(1.5, 2.1, build.length)
    step = length / (2 * waves + 1)
    height = between(0.12, 0.24, build.limb) * float(rng.uniform(0.8, 1.15))
    knots = [
        (-length / 2 + step * k, height * (1 if k % 2 else -1) * (0.45 + 0.55 * min(k, 2) / 2))
        for k in range(2 * waves + 1)
    ]
    base = knots[-1]
    lift = between(0.2, 0.5, build.neck) * float(rng.uniform(0.6, 1.1))
    bow = (base[0] + step * 0.95, base[1] - lift * 0.35)
    head = (bow[0] + step * float(rng.uniform(-0.25, 0.35)), base[1] - lift - girth)
    chain = [*knots, bow, head]
    spine = curve(chain, 70)
    radii = np.concatenate(
        [np.linspace(0.01, girth, 22), np.full(30, girth), np.linspace(girth, girth * 0.72, 18)]
    )
    lengths = [slice(0, 26), slice(24, 48), slice(46, 70)]
    parts = [Part((sweep(spine[cut], radii[cut].tolist(), 30),)) for cut in lengths]
    size = between(0.09, 0.14, build.head)
    tilt = float(rng.uniform(-0.15, 0.35))
    snout = reach(head, size * between(1.1, 2.0, build.snout), tilt)
    behind, before = headgear(
        species, (head[0] - size * 0.1, head[1] - size * 0.7), size, -np.pi / 2 - 0.5
    )
    tongue_root = snout
    fork = reach(snout, 0.14, tilt + 0.1)
    tongue = [
        floats([tongue_root, fork]),
        floats([fork, reach(fork, 0.06, tilt - 0.35)]),
        floats([fork, reach(fork, 0.06, tilt + 0.5)]),
    ]
    skull = Part(
        (
            oval(*head, size * 1.05, size * 0.92, tilt),
            sweep([head, snout], [size * 0.85, size * 0.48]),
        ),
        marks=0.6,
    )
    hood = []
    if species.tail_tip == 2:
        hood = [
            Part(
                (
                    closed(
                        [
                            (head[0] - 0.02, head[1]),
                            (head[0] - size * 2, head[1] + size * 1.7),
                            (bow[0] - 0.02, bow[1] + 0.04),
                            (bow[0] + size, head[1] + size * 1.8),
                        ]
                    ),
                ),
                relief=0.6,
            )
        ]
    spine_top = spine[18:50:2] - floats([0, girth * 0.8])
    mouth = ink(
        [curve([reach(snout, size * 0.4, tilt + 0.4), reach(head, size * 0.7, tilt + 0.6)], 6)],
        0.012,
    )
    look = reach(head, size * 0.55, tilt - 0.75)
    ornament = ridge(species, spine_top, girth * 1.5) if species.back == "spines" else []
    return Figure(
        (
            *parts[:2],
            *ornament,
            parts[2],
            *hood,
            Part((), "accent", tuple(tongue), 0.016, 0, 0),
            *behind,
            skull,
            mouth,
            *eye(*look, size * 0.22),
            *before,
        ),
        "standing",
    )
