"""Pixels + random generator -> a near duplicate as JPEG, in one of several ways."""

from collections.abc import Callable

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]


def encode(pixels: Pixels, quality: int = 92) -> bytes:
    return simplejpeg.encode_jpeg(np.ascontiguousarray(pixels), quality, "RGB", "420")


def encoded_again(pixels: Pixels, rng: np.random.Generator) -> bytes:
    return encode(pixels, int(rng.integers(40, 76)))


def resized(pixels: Pixels, rng: np.random.Generator) -> bytes:
    factor = rng.uniform(0.5, 0.9)
    height, width = (max(8, round(side * factor)) for side in pixels.shape[:2])
    return encode(cv2.resize(pixels, (width, height), interpolation=cv2.INTER_AREA), 90)


def cropped(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Keep nine tenths of each side, anywhere."""
    return encode(_crop(pixels, rng, 0.9))


def mirrored(pixels: Pixels, rng: np.random.Generator) -> bytes:
    return encode(pixels[:, ::-1])


def brightened(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Make the image a fifth darker or brighter, clipped."""
    return encode(
        np.clip(pixels * np.float32(rng.choice([0.8, 1.2])) + 0.5, 0, 255).astype(np.uint8)
    )


def watermarked(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Add a line of white text over nine tenths of the width, at 60 %."""
    marked = pixels.copy()
    (height, width) = pixels.shape[:2]
    place = (int(width * 0.05), int(height * rng.uniform(0.3, 0.95)))
    size = width / 300
    weight = max(1, round(2 * width / 300))
    cv2.putText(
        marked,
        "(c) Photo Archive",
        place,
        cv2.FONT_HERSHEY_SIMPLEX,
        size,
        (255,) * 3,
        weight,
        cv2.LINE_AA,
    )
    return encode(cv2.addWeighted(marked, 0.6, pixels, 0.4, 0))


def next_frame(pixels: Pixels, rng: np.random.Generator) -> bytes:
    """Simulate the next frame of a burst: shifted by up to 4 %, other noise and exposure."""
    frame = _crop(pixels, rng, 0.96) * np.float32(rng.uniform(0.95, 1.05)) + rng.normal(0, 5)
    noise = rng.normal(0, 5, frame.shape)
    return encode(np.clip(frame + noise, 0, 255).astype(np.uint8))


def _crop(pixels: Pixels, rng: np.random.Generator, share: float) -> Pixels:
    height, width = (round(side * share) for side in pixels.shape[:2])
    top, left = (
        int(rng.integers(side - part + 1))
        for side, part in zip(pixels.shape[:2], (height, width), strict=True)
    )
    return pixels[top : top + height, left : left + width]


WAYS: dict[str, Callable[[Pixels, np.random.Generator], bytes]] = {
    "encoded again": encoded_again,
    "resized": resized,
    "cropped to 90 %": cropped,
    "mirrored": mirrored,
    "brightness ±20 %": brightened,
    "watermark": watermarked,
    "next frame (simulated)": next_frame,
}
