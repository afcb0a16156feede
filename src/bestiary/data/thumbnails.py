"""Image files -> small images inside a page, as data URIs."""

import base64

import cv2
import numpy as np
import simplejpeg

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.errors import ImageError
from bestiary.storage.files import Readable

SIDE = 160  # pixels of the long side; a page with 1,000 of them takes about 8 MB


def image_uri(path: Readable, side: int = SIDE) -> str:
    """The image at `path`, shrunk so that its long side is at most `side`, as a data URI.

    Returns:
        an empty string where the image is gone or cannot be decoded.
    """
    try:
        return pixels_uri(decode(read_image(path), min_side=side), side)
    except ImageError:
        return ""


def pixels_uri(pixels: Pixels, side: int = SIDE) -> str:
    """Pixels (height, width, 3), shrunk so that the long side is at most `side`, as a data URI."""
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    small = np.ascontiguousarray(cv2.resize(pixels, shape, interpolation=cv2.INTER_AREA))
    return (
        "data:image/jpeg;base64,"
        + base64.b64encode(simplejpeg.encode_jpeg(small, 80, "RGB", "420")).decode()
    )
