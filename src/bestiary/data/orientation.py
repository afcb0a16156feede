"""The EXIF orientation of an image, and pixels turned upright by it."""

import numpy as np
from numpy.typing import NDArray
from PIL import ExifTags, Image

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB


def exif_orientation(image: Image.Image) -> int:
    """Read the EXIF orientation of an image.

    Args:
        image: opened by Pillow.

    Returns:
        1 to 8; 1 where there is none, or the EXIF is damaged.
    """
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception:  # Pillow raises anything on damaged EXIF
        return 1
    return orientation if orientation in range(1, 9) else 1


def turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation.

    Args:
        pixels: uint8 (height, width, 3).
        orientation: 1 to 8 (CIPA DC-008, tag 0x0112).

    Returns:
        uint8 array, contiguous.
    """
    is_transposed = orientation in (5, 6, 7, 8)
    is_mirrored = orientation in (2, 3, 6, 7)
    is_upside_down = orientation in (3, 4, 7, 8)

    if is_transposed:
        pixels = pixels.transpose(1, 0, 2)
    if is_mirrored:
        pixels = pixels[:, ::-1]
    if is_upside_down:
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)
