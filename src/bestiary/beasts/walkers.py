"""Species + random pose -> `Figure` on legs: quadrupeds, birds, lizards and turtles.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink, ridge
from bestiary.beasts.outlines import Point, Shape, between, closed, curve, leaf, oval, reach, sweep
from bestiary.beasts.raster import Floats
from bestiary.beasts.species import Species

_DOWN = np.pi / 2


def _bent_leg(
    hip: Point, length: float, swing: float, girth: float, knee: float
) -> tuple[list[Shape], Shape]:
    """A leg with one bend, and its foot.

    `swing` and `knee` are radians; a positive knee bends backwards.
    """
    joint = reach(hip, length * 0.5, _DOWN + swing - knee)
    ankle = reach(joint, length * 0.46, _DOWN + swing * 0.6 + knee * 0.75)
    limb = sweep([hip, joint, ankle], [girth * 1.55, girth * 0.85, girth * 0.52, girth * 0.48])
    toe = (ankle[0] + girth * 0.75, ankle[1] + length * 0.05)
    return [limb], sweep([ankle, toe], [girth * 0.52, girth * 0.5], 8)


def pose_quadruped(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a walking or grazing quadruped.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    length = between(0.8, 1.2, build.length)
    girth = between(0.19, 0.33, build.girth)
    limb = between(0.42, 0.95, build.limb)
    thick = between(0.055, 0.11, (build.girth + build.head) / 2)
    rump = (-length / 2, 0.02)
    chest = (length / 2, between(-0.04, 0.03, build.neck))
    sag = float(rng.uniform(-0.01, 0.04))
    torso = sweep(
        [rump, (-length * 0.2, -0.02), (length * 0.12, sag), chest],
        [girth * 0.8, girth * 0.78, girth * 0.92, girth * 0.9],
    )
    stride = float(rng.uniform(0.05, 0.5)) * float(rng.choice([-1, 1]))
    far: list[Shape] = []
    near: list[Shape] = []
    feet = []
    for side, sign in ((far, -1.0), (near, 1.0)):
        wobble = rng.normal(0, 0.06, 2)
        hind = _bent_leg(
            (rump[0] + 0.05, girth * 0.25),
            limb + girth * 0.75,
            sign * stride + wobble[0],
            thick * 1.15,
            0.38,
        )
        fore = _bent_leg(
            (chest[0] - 0.05, girth * 0.3),
            limb + girth * 0.75,
            -sign * stride * 0.8 + wobble[1],
            thick * 0.9,
            -0.16,
        )
        side += [*hind[0], *fore[0]]
        feet.append(Part((hind[1], fore[1]), "horn", marks=0, shade=0.66 if sign < 0 else 1.0))
    haunch = oval(rump[0] + 0.04, 0.05, girth * 0.82, girth * 1.02, 0.2)
    breast = oval(chest[0] - 0.04, 0.03, girth * 0.85, girth * 1.04)
    # One part, so that the near legs join the body without a seam.
    body = Part((torso, haunch, breast, *near))
    neck_parts = _head_on_neck(species, rng, (chest[0], chest[1] - girth * 0.3), girth)
    tail = _tail(species, rng, (rump[0] - girth * 0.55, -girth * 0.3), girth)
    back = curve([(chest[0], -girth * 0.75), (0, -girth * 0.86), (rump[0], -girth * 0.72)], 19)
    rear = [
        Part(tuple(far), shade=0.62, marks=0.75),
        feet[0],
        *tail,
        *ridge(species, back, girth * 0.8),
    ]
    return Figure((*rear, body, feet[1], *neck_parts), "standing")


def _tail(species: Species, rng: np.random.Generator, root: Point, girth: float) -> list[Part]:
    """A hanging or raised tail with a plain, tufted or bushy end."""
    length = between(0.2, 0.95, species.build.tail)
    lift = float(rng.uniform(-0.5, 0.75))
    middle = reach(root, length * 0.5, np.pi - 0.55 + lift - 0.2)
    end = reach(middle, length * 0.5, np.pi - 1.0 + lift * 1.9)
    bushy = species.tail_tip == 2
    radii = (
        [girth * 0.2, girth * 0.42, girth * 0.12]
        if bushy
        else [girth * 0.26, girth * 0.15, girth * 0.09]
    )
    parts = [Part((sweep([(root[0] + girth * 0.4, root[1] + 0.02), root, middle, end], radii),))]
    if species.tail_tip == 1:
        tip = reach(end, 0.2, float(np.arctan2(end[1] - middle[1], end[0] - middle[0])))
        parts.append(Part((leaf(middle, tip, girth * 0.5, 0, 0.8),), "accent", marks=0, relief=0.8))
    return parts


def _head_on_neck(
    species: Species, rng: np.random.Generator, root: Point, girth: float
) -> list[Part]:
    """Neck, head, muzzle, eye and headgear of a quadruped."""
    build = species.build
    size = between(0.15, 0.23, build.head)
    rise = -between(0.45, 1.2, build.neck) + float(rng.uniform(-0.25, 0.4))
    crown = reach(root, between(0.3, 0.75, build.neck), rise)
    bow = reach(root, between(0.14, 0.36, build.neck), rise - 0.2)
    neck = sweep(
        [(root[0] - girth * 0.35, root[1] + girth * 0.35), bow, crown],
        [girth * 0.85, girth * 0.58, size * 0.8],
    )
    tilt = between(0.5, 0.15, build.snout) + float(rng.uniform(-0.2, 0.3))
    muzzle = reach(crown, size * between(1.2, 2.5, build.snout), tilt)
    jaw = sweep([crown, muzzle], [size * 0.9, size * 0.75, size * between(0.5, 0.36, build.snout)])
    head = Part((oval(crown[0], crown[1], size * 1.05, size, tilt), jaw), marks=0.7)
    top = (crown[0] - size * 0.25, crown[1] - size * 0.75)
    behind, before = headgear(species, top, size, -_DOWN - 0.35)
    nose = oval(*reach(muzzle, size * 0.28, tilt - 0.5), size * 0.2, size * 0.15, tilt)
    lip_start = reach(muzzle, size * 0.35, tilt + 0.75)
    lip_end = reach(crown, size * 0.75, tilt + 0.55)
    mouth = ink([curve([lip_start, reach(lip_end, 0.02, _DOWN), lip_end], 8)], 0.014)
    look = reach(crown, size * 0.42, tilt - 0.75)
    return [
        *behind,
        Part((neck,)),
        head,
        Part((nose,), "dark", marks=0),
        mouth,
        *eye(*look, size * 0.2),
        *before,
    ]


def pose_bird(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a standing bird, its wing folded or lifted.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    tilt = between(-0.75, -0.1, build.neck) + float(rng.uniform(-0.2, 0.2))
    girth = between(0.23, 0.35, build.girth)
    size = between(0.13, 0.2, build.head)
    front = reach((0, 0), 0.3, tilt)
    rear = reach((0, 0), 0.42, tilt + np.pi)
    body = sweep([rear, (-0.08, 0.0), front], [girth * 0.35, girth * 0.85, girth, girth * 0.8])
    legs_long = between(0.18, 0.75, build.limb)
    legs = []
    stride = float(rng.uniform(-0.3, 0.3))
    for sign, shade in ((-1, 0.66), (1, 1.0)):
        hip = (0.05 + 0.06 * sign, girth * 0.6)
        joint = reach(hip, legs_long * 0.5 + 0.08, _DOWN + 0.28 + stride * sign)
        foot = reach(joint, legs_long * 0.5, _DOWN - 0.25 + stride * sign * 0.7)
        toes = [
            sweep([foot, reach(foot, 0.13, a)], [0.022, 0.01], 6) for a in (0.15, 0.55, np.pi - 0.1)
        ]
        shank = sweep([hip, joint, foot], [0.05, 0.03, 0.022, 0.02])
        legs.append(Part((shank, *toes), "horn", marks=0, shade=shade))
    rise = between(-0.5, -1.2, build.neck) + float(rng.uniform(-0.2, 0.25))
    head_at = reach(front, between(0.2, 0.62, build.neck), rise)
    neck = sweep(
        [(front[0] * 0.6, front[1] * 0.6), reach(front, 0.15, rise - 0.35), head_at],
        [girth * 0.85, girth * 0.55, size * 0.8],
    )
    tail = _bird_tail(species, rng, rear, tilt)
    behind, before = headgear(
        species, (head_at[0] - size * 0.1, head_at[1] - size * 0.75), size, -_DOWN - 0.4
    )
    head = Part((oval(*head_at, size * 1.04, size * 0.97),), marks=0.6)
    look = (head_at[0] + size * 0.35, head_at[1] - size * 0.18)
    return Figure(
        (
            legs[0],
            tail,
            Part((body, neck)),
            legs[1],
            *_bird_wing(species, rng, girth, tilt),
            *behind,
            *_beak(species, head_at, size, float(rng.uniform(-0.15, 0.25))),
            head,
            *eye(*look, size * 0.23),
            *before,
        ),
        "standing",
    )


def _bird_tail(species: Species, rng: np.random.Generator, root: Point, tilt: float) -> Part:
    """A tail of long feathers, fanned by the species' tail tip."""
    length = between(0.22, 0.85, species.build.tail)
    aim = np.pi + tilt * 0.6 + float(rng.uniform(-0.15, 0.15))
    fan = (0.08, 0.2, 0.42)[species.tail_tip]
    start = reach(root, 0.1, aim + np.pi)
    turns = np.linspace(-fan, fan, 5)
    feathers = [
        leaf(
            start,
            reach(root, length * (1 - 0.15 * abs(turn) / fan), aim + float(turn)),
            0.13,
            0,
            0.75,
        )
        for turn in turns
    ]
    return Part(tuple(feathers), "accent" if species.form % 2 else "coat", marks=0.6, relief=0.7)


def _bird_wing(species: Species, rng: np.random.Generator, girth: float, tilt: float) -> list[Part]:
    """The near wing: coverts over two rows of flight feathers."""
    lifted = rng.random() < 0.3
    shoulder = reach((0, -girth * 0.15), 0.2, tilt)
    aim = (
        np.pi
        + tilt * 0.8
        + (float(rng.uniform(0.5, 1.1)) if lifted else float(rng.uniform(-0.15, 0.1)))
    )
    length = between(0.48, 0.75, species.build.fin) * (1.15 if lifted else 1.0)
    spread = 0.75 if lifted else 0.3
    rows = []
    for count, share, paint, shade in ((6, 1.0, "accent", 0.92), (5, 0.72, "coat", 0.86)):
        feathers = []
        for number in range(count):
            turn = spread * (0.35 - number / count)
            reach_out = length * share * (1 - 0.09 * number)
            feathers.append(
                leaf(shoulder, reach(shoulder, reach_out, aim + turn), girth * 0.44, 0.05, 0.7)
            )
        rows.append(Part(tuple(feathers), paint, marks=0.7, relief=0.8, shade=shade))
    covert = sweep(
        [shoulder, reach(shoulder, length * 0.42, aim)], [girth * 0.42, girth * 0.36, girth * 0.12]
    )
    return [*rows, Part((covert,), relief=0.7)]


def _beak(species: Species, head: Point, size: float, tilt: float) -> list[Part]:
    """A straight, hooked or upturned beak."""
    length = size * between(1.0, 2.9, species.build.snout)
    droop = (0.0, 0.35, -0.22)[species.form % 3]
    root = reach(head, size * 0.55, tilt + 0.15)
    middle = reach(root, length * 0.6, tilt)
    tip = reach(middle, length * 0.5, tilt + droop)
    thick = size * between(0.5, 0.26, species.build.snout)
    bill = Part((sweep([root, middle, tip], [thick * 1.15, thick * 0.75, 0.008]),), "horn", marks=0)
    return [bill, ink([curve([root, middle, tip], 8)], 0.01, 0.5)]


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
    elbow = reach(root, length * 0.55, side * (_DOWN - forward * 0.15) + swing)
    foot = reach(
        elbow, length * 0.55, side * (_DOWN - forward * (0.95 if forward > 0 else 0.8)) + swing
    )
    aim = side * (_DOWN - forward * 0.7) + swing
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
            leg, foot = _bent_leg(
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
        species, (head_at[0] - size * 0.2, head_at[1] - size * 0.75), size, -_DOWN - 0.5
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
