"""Species + random pose -> `Figure` of an octopus or squid: mantle and curling arms.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear
from bestiary.beasts.outlines import between, curve, leaf, oval, reach, sweep
from bestiary.beasts.raster import floats
from bestiary.beasts.species import Species


def pose_octopus(species: Species, rng: np.random.Generator) -> Figure:
    """Pose an octopus or squid: mantle, eyes and curling arms.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    wide = between(0.24, 0.4, build.girth)
    tall = between(0.4, 0.75, build.length)
    lean = float(rng.uniform(-0.45, 0.2))
    crown = (tall * float(np.sin(lean)), -tall * float(np.cos(lean)))
    count = 6 + 2 * (species.form % 2)
    length = between(0.55, 1.0, build.limb)
    order = rng.permutation(count)
    arms = []
    for number in order:
        place = number / (count - 1) * 2 - 1
        root = (wide * 0.75 * place, 0.06 + 0.08 * (1 - abs(place)))
        aim = np.pi / 2 - place * 1.25 + float(rng.normal(0, 0.15))
        curl = (
            float(rng.uniform(0.5, 1.5))
            * (-1 if place > 0 else 1)
            * float(rng.choice([1, 1, -0.7]))
        )
        points = [root]
        heading = aim
        for part in range(5):
            points.append(reach(points[-1], length * (0.28 - 0.035 * part), heading))
            heading += curl * (0.1 + 0.22 * part)
        thick = between(0.075, 0.12, build.girth)
        shade = 0.7 if abs(place) < 0.5 and number % 2 else 1.0
        arms.append(
            Part(
                (sweep(points, [thick, thick * 0.75, thick * 0.5, thick * 0.28, 0.012], 34),),
                shade=shade,
                marks=0.8,
            )
        )
        suckers = curve(points, 18)[3:16:2] + floats([0.0, thick * 0.25])
        dots = [oval(float(x), float(y), 0.02, 0.018) for x, y in suckers]
        arms.append(Part(tuple(dots), "pale", marks=0, relief=0.4, shade=shade, opacity=0.8))
    far = [part for part in arms if part.shade < 1]
    near = [part for part in arms if part.shade == 1.0]
    mantle = sweep(
        [(0, 0.06), (crown[0] * 0.35, crown[1] * 0.35), crown],
        [wide * 0.8, wide * 0.78, wide * between(0.8, 1.15, build.head), wide * 0.45],
    )
    fins = []
    if species.back != "none":
        fins = [
            Part(
                (
                    leaf(
                        (crown[0] * 0.4, crown[1] * 0.5),
                        (crown[0] + side * wide * 1.7, crown[1] * 0.85),
                        wide * 0.8,
                        0.1 * side,
                        0.65,
                    ),
                ),
                "accent",
                marks=0.4,
                relief=0.5,
            )
            for side in (-1, 1)
        ]
    gear_behind, gear_before = headgear(
        species, (crown[0], crown[1] - wide * 0.2), 0.13, -np.pi / 2 + lean
    )
    gear = (
        [*gear_behind, *gear_before]
        if species.headgear in ("horns", "ears", "feelers", "crest")
        else []
    )
    size = between(0.06, 0.1, build.head)
    return Figure(
        (
            *far,
            *fins,
            *gear,
            Part((mantle,)),
            *near,
            Part((oval(0, 0.07, wide * 0.85, 0.15),), marks=0.6),
            *eye(wide * 0.5, -0.02, size),
            *eye(-wide * 0.3, -0.0, size * 0.92),
        ),
        "standing",
    )
