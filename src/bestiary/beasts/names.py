"""Turns a species' traits into an invented Latin-like binomial, such as ``Velox striatus``.

A genus is two or three stems and a masculine ending; the epithet tells a trait that can be seen
where one is free. The module does not know how a beast looks, only the words for it.
"""

from collections.abc import Sequence, Set

import numpy as np

_ONSETS = ("vel", "mor", "tal", "ser", "quer", "lun", "dor", "fal", "gry", "nem", "bor", "cal", "pel", "ryn", "sil",
           "tor", "umb", "zeph", "ard", "brac", "cor", "drac", "esk", "fen", "glau", "hesp", "ist", "kor", "lyc",
           "myr", "nyx", "orn", "phal", "rhin", "scol", "thal", "vesp", "xen", "yl", "alc")  # fmt: skip
_MIDDLES = (
    "",
    "",
    "a",
    "o",
    "i",
    "and",
    "ar",
    "el",
    "en",
    "er",
    "il",
    "in",
    "ol",
    "or",
    "um",
    "yr",
)
_ENDINGS = (
    "ox",
    "ax",
    "or",
    "us",
    "on",
    "odon",
    "opus",
    "urus",
    "ops",
    "ius",
    "eus",
    "anthus",
    "orhinus",
)

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
    "any": ("mirabilis", "gracilis", "vagans", "paradoxus", "silvestris", "montanus", "solitarius", "amabilis",
            "placidus", "elegans", "nobilis", "obscurus", "borealis", "australis", "insularis"),
}  # fmt: skip
"""Words for a trait; the traits are those of `species`, and a pigment brings its own word."""


def invent_genus(rng: np.random.Generator, taken: Set[str]) -> str:
    """Return a genus of 4 to 13 letters that is not among the `taken` ones."""
    while True:
        name = f"{rng.choice(_ONSETS)}{rng.choice(_MIDDLES)}{rng.choice(_ENDINGS)}".capitalize()
        if 4 <= len(name) <= 13 and name not in taken:
            return name


def choose_epithet(rng: np.random.Generator, words: Sequence[str], taken: Set[str]) -> str:
    """Return one of `words` that no species of the genus has yet, or a word that fits any beast."""
    free = [word for word in words if word not in taken] or [
        word for word in EPITHETS["any"] if word not in taken
    ]
    return str(rng.choice(free))
