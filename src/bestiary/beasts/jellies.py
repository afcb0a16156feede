"""Species + random pose -> `Figure` of a jelly: bell, frilled arms and tentacles.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink
from bestiary.beasts.outlines import between, closed, curve, oval, sweep
from bestiary.beasts.species import Species


def pose_jelly(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a jelly with a translucent bell, frilled arms and long tentacles.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    wide = between(0.34, 0.56, build.length)
    tall = between(0.3, 0.62, build.girth)
    pulse = float(rng.uniform(0.85, 1.12))
    wide = wide * pulse
    tall = tall / pulse
    hang = between(0.5, 1.15, build.tail)
    drift = float(rng.uniform(-0.3, 0.3))
    count = 6 + species.form % 5
    strands = []
    for place in np.linspace(-0.85, 0.85, count):
        phase = float(rng.uniform(0, 6.3))
        down = np.linspace(0, 1, 6)
        xs = (
            wide * place * (1 - 0.2 * down)
            + drift * down**2
            + 0.07 * np.sin(down * 7 + phase) * down
        )
        line = np.column_stack([xs, hang * down * float(rng.uniform(0.75, 1.0))]).astype(np.float32)
        strands.append(sweep(line, [0.028, 0.018, 0.008], 24))
    arms = []
    for place in (-0.3, 0.0, 0.32):
        down = np.linspace(0, 1, 7)
        xs = wide * place + drift * 0.7 * down**2 + 0.05 * np.sin(down * 9 + place * 7)
        arms.append(
            sweep(
                np.column_stack([xs, hang * 0.62 * down]).astype(np.float32),
                [0.07, 0.11, 0.06, 0.085, 0.05, 0.012],
                26,
            )
        )
    flat = between(0.55, 1.0, build.head)
    bell = closed(
        [
            (-wide, 0.03),
            (-wide * 0.93, -tall * 0.5 * flat),
            (-wide * 0.5, -tall * 0.93),
            (0, -tall),
            (wide * 0.5, -tall * 0.93),
            (wide * 0.93, -tall * 0.5 * flat),
            (wide, 0.03),
            (wide * 0.5, 0.09),
            (0, 0.11),
            (-wide * 0.5, 0.09),
        ],
        60,
    )
    frill = [
        oval(wide * x, 0.06 + 0.05 * (1 - x * x), wide * 0.1, 0.05)
        for x in np.linspace(-0.92, 0.92, 10)
    ]
    ribs = [
        curve(
            [(wide * x, 0.06), (wide * x * 0.85, -tall * 0.5), (wide * x * 0.3, -tall * 0.93)], 10
        )
        for x in (-0.7, -0.35, 0.0, 0.35, 0.7)
    ]
    behind, before = headgear(species, (0, -tall * 0.93), 0.13, -np.pi / 2)
    gear = [*behind, *before] if species.headgear in ("crest", "feelers") else []
    glow = Part(
        (oval(-wide * 0.1, -tall * 0.42, wide * 0.42, tall * 0.26),),
        "accent",
        marks=0,
        relief=0.5,
        opacity=0.45,
    )
    eyes = (
        [*eye(wide * 0.3, -tall * 0.25, 0.05), *eye(wide * 0.62, -tall * 0.24, 0.042)]
        if species.form % 2
        else []
    )
    return Figure(
        (
            Part(tuple(strands[::2]), "accent", marks=0, opacity=0.8, shade=0.85),
            Part(tuple(arms), "pale", marks=0.3, opacity=0.88),
            Part(tuple(strands[1::2]), "accent", marks=0, opacity=0.85),
            *gear,
            Part((bell,), opacity=0.9),
            glow,
            ink(ribs, 0.016, 0.22),
            Part(tuple(frill), "accent", marks=0, opacity=0.9),
            *eyes,
        ),
        "hovering",
    )
