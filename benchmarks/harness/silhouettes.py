"""Random generator -> images of low detail: silhouettes on plain ground, and handwritten digits.

Every image shows another subject, and many have nearly the same outline.
"""

import cv2
import numpy as np
from sklearn.datasets import load_digits

from harness.copying import Pixels

SIDE = 224
KINDS = ("blob", "wings", "leaf", "disc")


def draw_silhouette(rng: np.random.Generator) -> Pixels:
    """Draw one dark shape on a light, plain ground: a blob, a pair of wings, a leaf or a disc."""
    kind = KINDS[int(rng.integers(len(KINDS)))]
    angle = np.linspace(0, 2 * np.pi, 240, endpoint=False)
    if kind == "wings":
        radius = 1 + 0.45 * np.cos(4 * angle) + 0.1 * np.cos(2 * angle + 0.1)
        radius += sum(rng.normal(0, 0.05) * np.cos(k * angle) for k in range(1, 9))
    elif kind == "leaf":
        radius = 1 / (1 + rng.uniform(0.5, 2) * np.abs(np.sin(angle)))
        radius += sum(rng.normal(0, 0.02) * np.cos(k * angle) for k in range(1, 7))
    elif kind == "disc":
        radius = np.full_like(angle, rng.uniform(0.6, 1))
    else:
        radius = 1 + sum(
            rng.normal(0, 0.25 / k) * np.cos(k * angle + rng.uniform(0, 6)) for k in range(1, 9)
        )
    radius = radius / np.abs(radius).max() * rng.uniform(0.32, 0.47) * SIDE
    x = SIDE / 2 + radius * np.sin(angle) + rng.uniform(-4, 4)
    y = SIDE / 2 - radius * np.cos(angle) + rng.uniform(-4, 4)
    image = np.full((SIDE, SIDE, 3), rng.integers(225, 256), np.uint8)
    outline = np.round(np.stack([x, y], axis=1) * 16).astype(np.int32)
    ink = (int(rng.integers(0, 60)),) * 3
    cv2.fillPoly(image, [outline], ink, cv2.LINE_AA, 4)
    return image


def draw_digits(count: int, rng: np.random.Generator) -> list[tuple[int, Pixels]]:
    """Make digits as in MNIST, 28 pixels wide, from those of scikit-learn, each one distorted.

    Returns:
        Digit and image of each. Two images of one digit of scikit-learn differ as those of two
        writers do.
    """
    digits = load_digits()
    drawn = []
    for number in range(count):
        index = number % len(digits.images)
        gray = cv2.resize(
            digits.images[index] * (255 / 16), (56, 56), interpolation=cv2.INTER_CUBIC
        )
        warped = gray if number < len(digits.images) else _distort(gray, rng)
        small = cv2.resize(warped, (20, 20), interpolation=cv2.INTER_AREA)
        inked = np.clip(small * 3 - 256, 0, 255).astype(np.uint8)
        drawn.append((int(digits.target[index]), np.dstack([np.pad(inked, 4)] * 3)))
    return drawn


def _distort(gray: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Move the strokes by a smooth random field of several pixels."""
    field = cv2.resize(rng.normal(0, 6, (5, 5, 2)), (56, 56), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[0:56, 0:56]
    moved = np.stack([x, y], axis=2) + field
    return cv2.remap(gray, moved.astype(np.float32), None, cv2.INTER_LINEAR)
