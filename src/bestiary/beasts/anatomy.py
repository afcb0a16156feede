"""Species + random pose -> `Figure`: finds the body plan and varies the build of each individual.

Knows nothing of how a figure is painted or where it stands.
"""

from collections.abc import Callable
from dataclasses import astuple, replace

import numpy as np

from bestiary.beasts import (
    birds,
    fishes,
    insects,
    jellies,
    octopuses,
    quadrupeds,
    reptiles,
    shellfish,
)
from bestiary.beasts.figure import Figure
from bestiary.beasts.raster import floats
from bestiary.beasts.species import Build, Species

_POSERS: dict[str, Callable[[Species, np.random.Generator], Figure]] = {
    "quadruped": quadrupeds.pose_quadruped,
    "bird": birds.pose_bird,
    "lizard": reptiles.pose_lizard,
    "turtle": reptiles.pose_turtle,
    "fish": fishes.pose_fish,
    "serpent": reptiles.pose_serpent,
    "jelly": jellies.pose_jelly,
    "octopus": octopuses.pose_octopus,
    "beetle": insects.pose_beetle,
    "moth": insects.pose_moth,
    "crab": shellfish.pose_crab,
    "snail": shellfish.pose_snail,
    "caterpillar": insects.pose_caterpillar,
}


def pose_beast(species: Species, rng: np.random.Generator) -> Figure:
    """Pose one individual of a species; its proportions differ a little from those of its species.

    Args:
        species: the species.
        rng: draws the build and the pose.

    Returns:
        The figure.
    """
    grown = np.clip(floats(astuple(species.build)) + rng.normal(0, 0.05, 8), 0, 1)
    individual = replace(species, build=Build(*(float(value) for value in grown)))
    return _POSERS[species.plan](individual, rng)
