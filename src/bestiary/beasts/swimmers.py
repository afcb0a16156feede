"""Species + random pose -> `Figure` without legs: fishes, serpents, jellies and octopuses.

Knows nothing of how a figure is painted.
"""

import numpy as np

from bestiary.beasts.figure import Figure, Part, eye, headgear, ink, ridge
from bestiary.beasts.outlines import Point, Shape, between, closed, curve, leaf, oval, reach, sweep
from bestiary.beasts.raster import Floats, floats
from bestiary.beasts.species import Species

_NO_DISCS = np.zeros((0, 3), np.float32)


def _fin(base: Floats, tips: Floats, paint: str = "accent", shade: float = 1.0) -> list[Part]:
    """A web between the lines `base` and `tips`, each (n, 2), with its rays."""
    web = Shape(np.vstack([base, tips[::-1]]).astype(np.float32), _NO_DISCS)
    rays = [np.stack([base[k], tips[k]]) for k in range(len(base))]
    return [
        Part((web,), paint, marks=0.3, relief=0.35, shade=shade, opacity=0.93),
        ink(rays, 0.009, 0.35),
    ]


def pose_fish(species: Species, rng: np.random.Generator) -> Figure:
    """Pose a swimming fish, bent a little.

    Args:
        species: its proportions and ornaments.
        rng: draws the pose.

    Returns:
        The figure.
    """
    build = species.build
    half = between(0.48, 0.75, build.length)
    deep = between(0.14, 0.42, build.girth)
    bend = float(rng.uniform(-0.1, 0.1))
    peduncle = (-half * 0.82, bend * 0.4)
    snout = (half + between(0.0, 0.22, build.snout), -bend * 0.3)
    spine = curve([snout, (half * 0.5, 0), (0, -bend * 0.5), peduncle], 23)
    share = np.linspace(0, 1, 23, dtype=np.float32)
    swell = (
        deep * np.abs(np.sin(np.pi * share ** between(0.55, 0.85, build.head))) ** 0.75
        + 0.045 * share
        + 0.012
    )
    body = sweep(spine, swell.tolist(), 34)
    top = spine - np.column_stack([0 * swell, swell * 0.9])
    bottom = spine + np.column_stack([0 * swell, swell * 0.9])
    parts = _tail_fin(species, rng, peduncle)
    tall = between(0.1, 0.42, build.fin)
    first = 6
    last = 18
    rise = tall * np.sin(np.linspace(0.5, 3.0, last - first)) ** (0.6 if species.form % 2 else 1.4)
    jag = 1 + (0.22 * np.cos(np.arange(last - first) * np.pi) if species.back == "spines" else 0)
    crest = top[first:last] - np.column_stack([0.35 * rise, rise * jag])
    parts += _fin(top[first:last].astype(np.float32), crest.astype(np.float32))
    drop = 0.6 * tall * np.sin(np.linspace(0.4, 3.0, 6))
    parts += _fin(
        bottom[13:19].astype(np.float32),
        (bottom[13:19] + np.column_stack([-0.8 * drop, drop])).astype(np.float32),
    )
    parts.append(Part((body,)))
    parts += _fish_face(species, spine, swell, deep)
    shoulder = (float(spine[9][0]), float(spine[9][1]) + deep * 0.3)
    flap = float(rng.uniform(-0.5, 0.4))
    blades = [
        reach(
            shoulder, between(0.16, 0.36, build.limb) * (1 - 0.1 * k), np.pi - 0.9 + flap + 0.22 * k
        )
        for k in range(5)
    ]
    base = np.linspace(
        (shoulder[0], shoulder[1] - 0.04), (shoulder[0] - 0.02, shoulder[1] + 0.05), 5
    ).astype(np.float32)
    return Figure((*parts, *_fin(base, floats(blades[::-1]))), "hovering")


def _tail_fin(species: Species, rng: np.random.Generator, root: Point) -> list[Part]:
    """A round, forked or fanned tail fin."""
    length = between(0.22, 0.5, species.build.tail)
    turns = np.linspace(-0.75, 0.75, 9) + float(rng.uniform(-0.12, 0.12))
    outer = np.linspace(-1, 1, 9)
    depth = (1 - 0.2 * outer**2, 0.5 + 0.6 * np.abs(outer), 0.9 + 0.12 * np.cos(6.7 * outer))[
        species.tail_tip
    ] * length
    tips = floats(
        [
            reach(root, float(far), np.pi + float(turn))
            for far, turn in zip(depth, turns, strict=True)
        ]
    )
    base = np.linspace(
        (root[0] + 0.04, root[1] + 0.05), (root[0] + 0.04, root[1] - 0.05), 9
    ).astype(np.float32)
    return _fin(base, tips)


def _fish_face(species: Species, spine: Floats, swell: Floats, deep: float) -> list[Part]:
    """Eye, mouth, gill cover and headgear of a fish."""
    at = spine[4]
    look = (float(at[0]), float(at[1]) - float(swell[4]) * 0.25)
    size = between(0.045, 0.085, species.build.head)
    lip = (float(spine[0][0]), float(spine[0][1]) + 0.02)
    mouth = curve([lip, (lip[0] - 0.06, lip[1] + 0.02), (lip[0] - 0.12, lip[1] + 0.055)], 8)
    gill_x = float(spine[8][0])
    gill_y = float(spine[8][1])
    gill = curve(
        [
            (gill_x + 0.02, gill_y - deep * 0.55),
            (gill_x - 0.05, gill_y),
            (gill_x + 0.03, gill_y + deep * 0.6),
        ],
        10,
    )
    crown = (float(spine[5][0]), float(top_of(spine, swell, 5)))
    behind, before = headgear(species, crown, size * 1.5, -np.pi / 2 - 0.4)
    gear = [*behind, *before] if species.headgear in ("horns", "feelers", "crest") else []
    return [*gear, ink([mouth, gill], 0.014, 0.55), *eye(*look, size)]


def top_of(spine: Floats, swell: Floats, row: int) -> float:
    """Return the y of the back at a row of the spine."""
    return float(spine[row][1] - swell[row] * 0.92)


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
