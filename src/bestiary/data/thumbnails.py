"""Image files or pixels -> thumbnails as JPEG data URIs for HTML pages."""

import base64

import cv2
import numpy as np
import simplejpeg

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.errors import ImageError
from bestiary.storage.files import Readable

SIDE = 160  # pixels of the long side; a page with 1,000 thumbnails takes about 8 MB
JPEG_QUALITY = 80


def image_uri(path: Readable, side: int = SIDE) -> str:
    """Read an image and encode its thumbnail.

    Args:
        path: The image file.
        side: Longest side of the thumbnail in pixels.

    Returns:
        A data URI; empty if the image is missing or cannot be decoded.
    """
    try:
        content = read_image(path)
        pixels = decode(content, min_side=side, white=None)
        return pixels_uri(pixels, side)
    except ImageError:
        return ""


def pixels_uri(pixels: Pixels, side: int = SIDE) -> str:
    """Encode the thumbnail of an image.

    Args:
        pixels: RGB image, uint8 (height, width, 3). It is never enlarged.
        side: Longest side of the thumbnail in pixels.

    Returns:
        A data URI.
    """
    height, width = pixels.shape[:2]
    scale = min(1.0, side / max(height, width))
    new_width = max(1, round(width * scale))
    new_height = max(1, round(height * scale))
    new_size = (new_width, new_height)
    thumbnail = cv2.resize(pixels, new_size, interpolation=cv2.INTER_AREA)
    jpeg = simplejpeg.encode_jpeg(
        np.ascontiguousarray(thumbnail),
        quality=JPEG_QUALITY,
        colorspace="RGB",
        colorsubsampling="420",
    )
    text = base64.b64encode(jpeg).decode()
    return f"data:image/jpeg;base64,{text}"
