"""Species + random pose -> `Figure` of a quadruped, which walks or grazes.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, bent_leg, eye, headgear, ink, ridge
from bestiary.beasts.outlines import DOWN, Point, Shape, between, curve, leaf, oval, reach, sweep
from bestiary.beasts.species import Species


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
        hind = bent_leg(
            (rump[0] + 0.05, girth * 0.25),
            limb + girth * 0.75,
            sign * stride + wobble[0],
            thick * 1.15,
            0.38,
        )
        fore = bent_leg(
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
    behind, before = headgear(species, top, size, -DOWN - 0.35)
    nose = oval(*reach(muzzle, size * 0.28, tilt - 0.5), size * 0.2, size * 0.15, tilt)
    lip_start = reach(muzzle, size * 0.35, tilt + 0.75)
    lip_end = reach(crown, size * 0.75, tilt + 0.55)
    mouth = ink([curve([lip_start, reach(lip_end, 0.02, DOWN), lip_end], 8)], 0.014)
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
