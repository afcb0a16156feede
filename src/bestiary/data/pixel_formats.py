"""Pixels -> the bytes that a store has of them, and back: raw, or as JPEG in a tenth of the space.

A JPEG is not quite the same pixels, and is decoded each time that it is read. What both cost is
measured by benchmarks/scale/store_format.py. Knows nothing of files and of where the bytes are.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.recipe.choices import StoreFormat

Bytes = NDArray[np.uint8]  # (bytes,)

JPEG_QUALITY = 95
# Colors at half of the resolution, as cameras write them: most images have no more to begin with.
JPEG_SUBSAMPLING = "420"


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """How a store writes images.

    Attributes:
        name: as in the recipe.
        max_share: of the bytes of an image's pixels that the disk is asked for.
        header: bytes besides.
        encode: pixels, uint8 (height, width, 3) -> bytes.
        decode: bytes, height, width -> pixels; raises ValueError where they are not such.
    """

    name: StoreFormat
    max_share: float
    header: int
    encode: Callable[[Pixels], bytes]
    decode: Callable[[Bytes, int, int], Pixels]

    def max_bytes(self, n_pixels: int) -> int:
        """Compute the bytes that the disk is asked for; photographs as JPEG take half of them."""
        return round(self.max_share * 3 * n_pixels) + self.header

    def as_stored(self, pixels: Pixels) -> Pixels:
        """Make the pixels (height, width, 3) that a store would give back of these."""
        if self.name == "raw":
            return pixels
        content = np.frombuffer(self.encode(pixels), np.uint8)
        return self.decode(content, *pixels.shape[:2])


def pixel_format(name: StoreFormat) -> PixelFormat:
    """Find a format by its name.

    Args:
        name: raw or jpeg.

    Returns:
        The format.

    Example:
        >>> pixels = np.zeros((2, 3, 3), np.uint8)
        >>> len(pixel_format("raw").encode(pixels))
        18
    """
    return _FORMATS[name]


def _decode_raw(content: Bytes, height: int, width: int) -> Pixels:
    return content.reshape(height, width, 3)


def _encode_jpeg(pixels: Pixels) -> bytes:
    encoded: bytes = simplejpeg.encode_jpeg(
        np.ascontiguousarray(pixels),
        quality=JPEG_QUALITY,
        colorspace="RGB",
        colorsubsampling=JPEG_SUBSAMPLING,
        fastdct=False,
    )
    return encoded


def _decode_jpeg(content: Bytes, height: int, width: int) -> Pixels:
    pixels: Pixels = simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)
    if pixels.shape != (height, width, 3):
        raise ValueError(f"{pixels.shape[0]} x {pixels.shape[1]} pixels")
    return pixels


_FORMATS = {
    "raw": PixelFormat("raw", 1.0, 0, np.ndarray.tobytes, _decode_raw),
    "jpeg": PixelFormat("jpeg", 0.25, 1000, _encode_jpeg, _decode_jpeg),
}
