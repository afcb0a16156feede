"""Traits of a species -> an invented Latin-like binomial, such as ``Velox striatus``.

A genus is two or three stems and a masculine ending. The epithet names a visible trait if one is
free. Knows the words for a beast and nothing of how it looks.
"""

from collections.abc import Sequence, Set

import numpy as np

_ONSETS = (
    "vel", "mor", "tal", "ser", "quer", "lun", "dor", "fal", "gry", "nem", "bor", "cal", "pel",
    "ryn", "sil", "tor", "umb", "zeph", "ard", "brac", "cor", "drac", "esk", "fen", "glau",
    "hesp", "ist", "kor", "lyc", "myr", "nyx", "orn", "phal", "rhin", "scol", "thal", "vesp",
    "xen", "yl", "alc",
)  # fmt: skip
_MIDDLES = (
    "", "", "a", "o", "i", "and", "ar", "el", "en", "er", "il", "in", "ol", "or", "um", "yr",
)  # fmt: skip
_ENDINGS = (
    "ox", "ax", "or", "us", "on", "odon", "opus", "urus", "ops", "ius", "eus", "anthus",
    "orhinus",
)  # fmt: skip

EPITHETS: dict[str, tuple[str, ...]] = {
    "plain": ("simplex", "unicolor", "modestus"),
    "spots": ("maculatus", "guttatus", "pardalis"),
    "rosettes": ("ocellatus", "pardus", "anulatus"),
    "stripes": ("striatus", "tigrinus", "virgatus"),
    "bands": ("fasciatus", "zonatus", "cinctus"),
    "lines": ("lineatus", "vittatus", "taeniatus"),
    "patches": ("variegatus", "pictus", "varius"),
    "net": ("reticulatus", "clathratus", "marmoratus"),
    "speckles": ("punctatus", "conspersus", "stellatus"),
    "scales": ("squamatus", "imbricatus", "tessellatus"),
    "saddle": ("dorsalis", "pallidiventer", "bicolor"),
    "horns": ("cornutus", "bicornis"),
    "antlers": ("ramosus", "cervinus"),
    "crest": ("cristatus", "galeatus"),
    "ears": ("auritus", "megalotis"),
    "feelers": ("antennatus", "longicornis"),
    "spines": ("spinosus", "horridus"),
    "sail": ("velatus", "pinnatus"),
    "any": (
        "mirabilis", "gracilis", "vagans", "paradoxus", "silvestris", "montanus", "solitarius",
        "amabilis", "placidus", "elegans", "nobilis", "obscurus", "borealis", "australis",
        "insularis",
    ),
}  # fmt: skip
"""Words for the traits of `species`; a pigment has a word of its own."""


def invent_genus(rng: np.random.Generator, taken: Set[str]) -> str:
    """Invent the name of a genus.

    Args:
        rng: draws the stems.
        taken: names that exist already.

    Returns:
        A new name of 4 to 13 letters.
    """
    while True:
        name = f"{rng.choice(_ONSETS)}{rng.choice(_MIDDLES)}{rng.choice(_ENDINGS)}".capitalize()
        if 4 <= len(name) <= 13 and name not in taken:
            return name


def choose_epithet(rng: np.random.Generator, words: Sequence[str], taken: Set[str]) -> str:
    """Choose an epithet for a species.

    Args:
        rng: draws the word.
        words: words that fit the species.
        taken: epithets of the other species of the genus.

    Returns:
        One of `words` that is free, else a word that fits any beast.
    """
    free = [word for word in words if word not in taken] or [
        word for word in EPITHETS["any"] if word not in taken
    ]
    return str(rng.choice(free))
