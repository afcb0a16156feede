"""The kinds of landscape: colors of sky, hills and ground, ground cover and distant props.

Knows nothing of how a landscape is painted.
"""

from dataclasses import dataclass

import numpy as np

from bestiary.beasts.raster import Floats, floats


@dataclass(frozen=True, slots=True)
class Land:
    """A kind of landscape; colors are 0xRRGGBB.

    Attributes:
        sky: colors of the zenith and of the haze over the horizon.
        far: colors of the hills, the farthest first; empty for a plain.
        ground: colors of the ground at the horizon and at the viewer's feet.
        cover: ground cover: ``grass``, ``ripples``, ``litter``, ``stones``, ``snow`` or ``water``.
        props: objects in the distance: ``trunks``, ``firs``, ``rocks``, ``stars``, ``reeds`` or
            nothing.
        sun: color of the direct light.
    """

    sky: tuple[int, int]
    far: tuple[int, ...]
    ground: tuple[int, int]
    cover: str
    props: str
    sun: int


LANDS: tuple[Land, ...] = (
    Land((0x8DB6CF, 0xE9E7D2), (0xA9BDB4, 0x8CA77F), (0xA8B872, 0x5E7F3C), "grass", "", 0xFFF1D6),
    Land(
        (0xB9CBD3, 0xF3E6CE), (0xC9C2A8, 0xA8A777), (0xC9BB7D, 0x8F8A45), "grass", "firs", 0xFFE9C0
    ),
    Land((0x9CC3D6, 0xF6E3C2), (0xE3BE8C,), (0xEBCB94, 0xC9985C), "ripples", "", 0xFFEBC4),
    Land(
        (0xE9B48B, 0xF8DDB2),
        (0xC88C66, 0xB57651),
        (0xD79C68, 0xA0623E),
        "ripples",
        "rocks",
        0xFFD9A6,
    ),
    Land((0x6F8463, 0xC6CFA0), (0x5C7350,), (0x6D6B45, 0x4A3D28), "litter", "trunks", 0xF3F2CF),
    Land((0xC79A5B, 0xF0D9A0), (0xA8763F,), (0xA4703C, 0x6E4425), "litter", "trunks", 0xFFE3B0),
    Land(
        (0xA9BFD3, 0xE6ECEF), (0xBBC8D6, 0x9FB0C2), (0xE4EAF0, 0xC3CEDD), "snow", "firs", 0xFFF6E8
    ),
    Land((0x7FA3BE, 0xD6E3E2), (0x8FA8B2,), (0x8FB3B8, 0x44737F), "water", "reeds", 0xFFF4DE),
    Land((0xE6A98E, 0xF7DDBD), (0xA98899,), (0xCF9C92, 0x6B6480), "water", "", 0xFFD8B8),
    Land(
        (0x98A3AC, 0xD9DAD4),
        (0x9A9C9B, 0x7C7F80),
        (0x9D9A93, 0x64625E),
        "stones",
        "rocks",
        0xF7F1E6,
    ),
    Land(
        (0x16243F, 0x4C6688), (0x2C4260, 0x213450), (0x34506A, 0x1B2C40), "grass", "stars", 0xBFD3F5
    ),
    Land((0x2A2146, 0x8C6A8F), (0x4B3F66,), (0x5E5475, 0x332C48), "stones", "stars", 0xE0CCF2),
    Land(
        (0x86B79A, 0xDDE9C6), (0x79A884, 0x558566), (0x86A860, 0x3F6238), "grass", "reeds", 0xFBF6D4
    ),
    Land((0xD9CFC0, 0xF1EADB), (0xD5C6AE,), (0xD8C8AC, 0xAE9A7C), "stones", "", 0xFFF6E6),
)


def color_of(code: int) -> Floats:
    """Convert 0xRRGGBB to float32 (3,), 0-1."""
    return floats([code >> 16, code >> 8 & 255, code & 255]) / np.float32(255)
