"""Seed -> species: fixed descriptions of how the beasts of each class look.

A genus has two to four close relatives. They share a body plan and most proportions, and differ in
coat, colors and ornaments. Knows nothing of drawing.

The generators here are seeded by plain lists, not by `bestiary.rng`: the drawn images must stay the
same, byte for byte. CONTRIBUTING lists this exception.
"""

import colorsys
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from bestiary.beasts.names import EPITHETS, choose_epithet, invent_genus

PLANS = (
    "quadruped", "bird", "beetle", "fish", "serpent", "crab", "moth", "snail", "lizard", "jelly",
    "octopus", "caterpillar", "turtle",
)  # fmt: skip
"""Body plans; `anatomy` draws each."""

PATTERNS = (
    "plain", "spots", "rosettes", "stripes", "bands", "lines", "patches", "net", "speckles",
    "scales", "saddle",
)  # fmt: skip
"""Coat patterns; `coat` paints each."""

HEADGEAR = ("none", "horns", "antlers", "crest", "ears", "feelers")
BACKS = ("none", "none", "spines", "sail")

_VISIBLE_ORNAMENTS: dict[str, frozenset[str]] = {
    "quadruped": frozenset(("horns", "antlers", "crest", "ears", "feelers", "spines", "sail")),
    "turtle": frozenset(("horns", "antlers", "crest", "ears", "feelers", "spines", "sail")),
    "bird": frozenset(("horns", "antlers", "crest", "ears", "feelers")),
    "caterpillar": frozenset(("horns", "antlers", "crest", "ears", "feelers")),
    "serpent": frozenset(("horns", "antlers", "crest", "ears", "feelers", "spines")),
    "octopus": frozenset(("horns", "ears", "feelers", "crest")),
    "fish": frozenset(("horns", "feelers", "crest")),
    "jelly": frozenset(("feelers", "crest")),
    "crab": frozenset(("horns", "antlers", "feelers", "spines")),
    "beetle": frozenset(("horns", "antlers", "spines")),
    "lizard": frozenset(("horns", "crest")),
    "moth": frozenset(("feelers",)),
    "snail": frozenset(),
}
"""Ornaments that a beast of each plan shows, so that it may be named after them."""

Color: TypeAlias = tuple[float, float, float]

_PIGMENTS: tuple[tuple[str, int], ...] = (
    ("rufus", 0xB5582F), ("fulvus", 0xC98F45), ("ochraceus", 0xD3A94F), ("brunneus", 0x7A5136),
    ("castaneus", 0x8A3F2B), ("niger", 0x35322F), ("cinereus", 0x8E9196), ("canus", 0xB9B5A8),
    ("albus", 0xE9E2D0), ("olivaceus", 0x7D8041), ("viridis", 0x55924F), ("smaragdinus", 0x2B8A74),
    ("glaucus", 0x6FA3A0), ("caeruleus", 0x3E78A8), ("cyaneus", 0x2B4C7E), ("violaceus", 0x6C558F),
    ("purpureus", 0x8E3F66), ("roseus", 0xD58A8B), ("coccineus", 0xBE3B35), ("aurantius", 0xDD7A32),
    ("luteus", 0xE2BE4B), ("cremeus", 0xEAD3A2),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Build:
    """Proportions of a body, each 0 (least) to 1 (most) within the range of its plan."""

    length: float
    girth: float
    neck: float
    head: float
    snout: float
    limb: float
    tail: float
    fin: float


@dataclass(frozen=True, slots=True)
class Coat:
    """The surface of a body.

    Attributes:
        pattern: one of `PATTERNS`.
        scale: size of the pattern's elements, 0.6 (fine) to 1.6 (coarse).
        cover: share of the body that is marked, 0 to 1.
        strength: how strongly the marks show, 0 to 1.
        gloss: 0 (fur) to 1 (enamel).
        belly: how far the underside is pale, 0 to 1.
        base: color of the body, RGB, 0 to 1 each, as the other colors.
        mark: color of the marks.
        pale: color of the underside.
        accent: color of crests, fins and wing edges.
        horn: color of horns, beaks, claws and hooves.
        iris: color of the eye.
    """

    pattern: str
    scale: float
    cover: float
    strength: float
    gloss: float
    belly: float
    base: Color
    mark: Color
    pale: Color
    accent: Color
    horn: Color
    iris: Color


@dataclass(frozen=True, slots=True)
class Species:
    """One invented species.

    Attributes:
        index: its number, from 0; it does not depend on the number of species.
        seed: the seed of the dataset.
        name: unique binomial in ASCII letters with one space.
        plan: one of `PLANS`.
        build: proportions.
        coat: pattern and colors.
        headgear: one of `HEADGEAR`.
        back: one of `BACKS`.
        tail_tip: 0 plain, 1 tufted or forked, 2 barbed or fanned.
        form: a whole number from 0 to 11 from which a plan may choose further options.
    """

    index: int
    seed: int
    name: str
    plan: str
    build: Build
    coat: Coat
    headgear: str
    back: str
    tail_tip: int
    form: int


def invent_species(n: int, seed: int) -> list[Species]:
    """Invent species.

    Args:
        n: number of species.
        seed: seed of the dataset.

    Returns:
        `n` species with unique names; species i is the same for every n above i.
    """
    found: list[Species] = []
    genera: set[str] = set()
    while len(found) < n:
        rng = np.random.default_rng([seed, 1, len(genera)])
        genus = invent_genus(rng, genera)
        plan = _plan_of(len(genera), seed)
        genera.add(genus)
        found.extend(_invent_genus_members(rng, genus, plan, seed, len(found)))
    return found[:n]


def _plan_of(genus: int, seed: int) -> str:
    """The body plan of a genus; every plan is used once before one repeats."""
    turn, place = divmod(genus, len(PLANS))
    return PLANS[int(np.random.default_rng([seed, 2, turn]).permutation(len(PLANS))[place])]


def _invent_genus_members(
    rng: np.random.Generator, genus: str, plan: str, seed: int, first: int
) -> list[Species]:
    """Two to four relatives, numbered from `first`."""
    shared = rng.random(8)
    pigment = int(rng.integers(len(_PIGMENTS)))
    headgear = str(rng.choice(HEADGEAR))
    back = str(rng.choice(BACKS))
    tail = int(rng.integers(3))
    form = int(rng.integers(12))
    gloss = float(rng.random())
    epithets: set[str] = set()
    patterns = [str(pattern) for pattern in rng.permutation(PATTERNS)]
    members = []
    for place in range(int(rng.integers(2, 5))):
        kept = pigment if rng.random() < 0.3 else int(rng.integers(len(_PIGMENTS)))
        coat, word = _invent_coat(rng, patterns[place], kept, gloss)
        gear = headgear if rng.random() < 0.55 else str(rng.choice(HEADGEAR))
        ridge = back if rng.random() < 0.6 else str(rng.choice(BACKS))
        traits = [coat.pattern, *sorted({gear, ridge} & _VISIBLE_ORNAMENTS[plan])]
        words = [word, *(epithet for trait in traits for epithet in EPITHETS.get(trait, ()))]
        epithet = choose_epithet(rng, words, epithets)
        epithets.add(epithet)
        build = Build(*(float(v) for v in np.clip(shared + rng.normal(0, 0.13, 8), 0, 1)))
        tip = tail if rng.random() < 0.6 else int(rng.integers(3))
        members.append(
            Species(
                first + place, seed, f"{genus} {epithet}", plan, build, coat, gear, ridge, tip, form
            )
        )
    return members


def _invent_coat(
    rng: np.random.Generator, pattern: str, pigment: int, gloss: float
) -> tuple[Coat, str]:
    """A coat with the given pattern and base pigment, and the word for the pigment."""
    word, code = _PIGMENTS[pigment]
    base = _tint(rng, _rgb(code), 0.025)
    others = [_rgb(other) for _, other in _PIGMENTS]
    far = [color for color in others if abs(_lightness(color) - _lightness(base)) > 0.2]
    mark = far[int(rng.integers(len(far)))]
    # Dark marks look richer with some of the base color in them.
    if _lightness(mark) < _lightness(base):
        mark = _mix(mark, _mix((0.0, 0.0, 0.0), base, 0.35), 0.4)
    mark = _tint(rng, mark, 0.02)
    accent = _tint(rng, others[int(rng.integers(len(others)))], 0.02)
    horn = ((0.22, 0.19, 0.17), (0.55, 0.45, 0.33), (0.83, 0.76, 0.60), (0.80, 0.52, 0.22))[
        int(rng.integers(4))
    ]
    iris = ((0.85, 0.62, 0.15), (0.75, 0.28, 0.12), (0.45, 0.62, 0.28), (0.25, 0.18, 0.12))[
        int(rng.integers(4))
    ]
    scale, cover, strength, belly = rng.uniform((0.65, 0.3, 0.65, 0.15), (1.5, 0.7, 1.0, 0.9))
    pale = _mix(base, (0.95, 0.90, 0.79), float(rng.uniform(0.45, 0.8)))
    coat = Coat(
        pattern=pattern,
        scale=float(scale),
        cover=float(cover),
        strength=float(strength),
        gloss=float(np.clip(gloss + rng.normal(0, 0.1), 0, 1)),
        belly=float(belly),
        base=base,
        mark=mark,
        pale=pale,
        accent=accent,
        horn=horn,
        iris=iris,
    )
    return coat, word


def _rgb(code: int) -> Color:
    return (code >> 16) / 255, (code >> 8 & 255) / 255, (code & 255) / 255


def _lightness(color: Color) -> float:
    return 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]


def _mix(one: Color, other: Color, share: float) -> Color:
    """Interpolate between two colors; share 0 is `one`."""
    red, green, blue = (a + (b - a) * share for a, b in zip(one, other, strict=True))
    return red, green, blue


def _tint(rng: np.random.Generator, color: Color, spread: float) -> Color:
    """Vary hue, saturation and value of a color at random."""
    hue, saturation, value = colorsys.rgb_to_hsv(*color)
    saturation = min(1.0, max(0.0, saturation * float(rng.uniform(0.88, 1.12))))
    value = min(0.96, max(0.12, value * float(rng.uniform(0.9, 1.1))))
    return colorsys.hsv_to_rgb((hue + float(rng.normal(0, spread))) % 1.0, saturation, value)
