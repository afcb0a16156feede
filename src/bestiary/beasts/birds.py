"""Species + random pose -> `Figure` of a bird that stands, its wing folded or lifted.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink
from bestiary.beasts.outlines import DOWN, Point, between, curve, leaf, oval, reach, sweep
from bestiary.beasts.species import Species


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
        joint = reach(hip, legs_long * 0.5 + 0.08, DOWN + 0.28 + stride * sign)
        foot = reach(joint, legs_long * 0.5, DOWN - 0.25 + stride * sign * 0.7)
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
        species, (head_at[0] - size * 0.1, head_at[1] - size * 0.75), size, -DOWN - 0.4
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
