"""Pixels + random generator -> a near duplicate that is harder to recognize than those of copying.

Crops to a share of each side, bars above and below, turns, rotations and screenshots with a frame.
"""

from collections.abc import Callable
from functools import partial

import cv2
import numpy as np

from harness.copying import Pixels, _crop, encode

Way = Callable[[Pixels, np.random.Generator], bytes]


def cropped_to(pixels: Pixels, rng: np.random.Generator, share: float) -> bytes:
    """Keep a share of each side, anywhere."""
    return encode(_crop(pixels, rng, share))


def letterboxed(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Add bars of a tenth of the height above and below, black or white."""
    bar = round(0.1 * len(pixels))
    level = int(rng.choice([0, 255]))
    return encode(np.pad(pixels, ((bar, bar), (0, 0), (0, 0)), constant_values=level))


def turned(pixels: Pixels, rng: np.random.Generator, quarters: int) -> bytes:
    return encode(np.rot90(pixels, quarters))


def upside_down(pixels: Pixels, rng: np.random.Generator) -> bytes:
    return encode(pixels[::-1])


def rotated(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Rotate by 2 to 10 degrees; the corners are black, white or repeat the border."""
    degrees = float(rng.uniform(2, 10) * rng.choice([-1, 1]))
    height, width = pixels.shape[:2]
    affine = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1)
    border, level = [
        (cv2.BORDER_CONSTANT, 0),
        (cv2.BORDER_CONSTANT, 255),
        (cv2.BORDER_REPLICATE, 0),
    ][int(rng.integers(3))]
    return encode(
        cv2.warpAffine(pixels, affine, (width, height), None, cv2.INTER_CUBIC, border, (level,) * 3)
    )


def screenshot(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Show the image in a window of a page: a title bar, margins, lines of text below."""
    height, width = pixels.shape[:2]
    left, right = (round(width * rng.uniform(0.03, 0.12)) for _ in range(2))
    top, bottom = (round(height * rng.uniform(0.06, 0.16)) for _ in range(2))
    level = int(rng.choice([255, 240, 32]))
    page = np.full((top + height + bottom, left + width + right, 3), level, np.uint8)
    page[: max(2, top // 2)] = rng.integers(0, 256, 3)
    page[top : top + height, left : left + width] = pixels
    ink = (255 - level,) * 3
    scale = width / 500
    place = (left, top + height + round(0.7 * bottom))
    cv2.putText(page, "Photo 12 of 40  Share  Save", place, cv2.FONT_HERSHEY_SIMPLEX, scale, ink, 1)
    return encode(page, 85)


HARD_WAYS: dict[str, Way] = {
    "cropped to 85 %": partial(cropped_to, share=0.85),
    "cropped to 75 %": partial(cropped_to, share=0.75),
    "cropped to 65 %": partial(cropped_to, share=0.65),
    "letterbox 10 %": letterboxed,
    "turned by 90": partial(turned, quarters=1),
    "turned by 180": partial(turned, quarters=2),
    "upside down": upside_down,
    "rotated to 10 degrees": rotated,
    "screenshot": screenshot,
}
