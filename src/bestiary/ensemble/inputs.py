"""Anything that `predict` accepts as an image -> decoded RGB pixels.

An image may be a path, an address in an object store, the bytes of an image file, a PIL image or a
uint8 array. Knows nothing of views or networks.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bestiary.data.decode import Pixels, decode, read_image, to_pixels
from bestiary.errors import ArgumentError
from bestiary.storage.files import Readable, StoredFile, is_address

ImageInput = str | Readable | bytes | Image.Image | Pixels
ImageInputs = ImageInput | Sequence[ImageInput] | NDArray[np.uint8]


def list_inputs(images: ImageInputs) -> Sequence[ImageInput]:
    """Return one image or several as a sequence.

    Args:
        images: an image, a sequence of images, or an array (images, height, width, 3).

    Returns:
        The images.
    """
    if isinstance(images, (str, Path, bytes, Image.Image)):
        return [images]
    if isinstance(images, np.ndarray):
        return [images] if images.ndim == 3 else list(images)
    if isinstance(images, Readable):
        return [images]
    return images


def input_name(image: ImageInput, index: int) -> str:
    """Name an image in an error: its path or address, else its index."""
    if isinstance(image, (str, Readable)):
        return str(image)
    return f"image {index}"


def load_pixels(image: ImageInput, min_side: int) -> Pixels:
    """Decode an image.

    Args:
        image: a path, an address, bytes, a PIL image or a uint8 array (height, width, 3).
        min_side: short side in pixels that a JPEG must keep; a larger one may be decoded smaller.

    Returns:
        RGB pixels, uint8 (height, width, 3).

    Raises:
        ImageError: the image cannot be decoded.
        ArgumentError: the input is of another type or shape.
    """
    if isinstance(image, str):
        image = StoredFile(image) if is_address(image) else Path(image)
    if isinstance(image, Readable):
        return decode(read_image(image), min_side=min_side)
    if isinstance(image, bytes):
        return decode(image, min_side=min_side)
    if isinstance(image, Image.Image):
        return to_pixels(image)
    if isinstance(image, np.ndarray):
        return _check_array(image)
    raise _unsupported(type(image).__name__)


def _check_array(image: Pixels) -> Pixels:
    is_rgb = image.ndim == 3 and image.shape[2] == 3
    if image.dtype != np.uint8 or not is_rgb:
        raise _unsupported(f"array {image.dtype} {image.shape}")
    return image


def _unsupported(what: str) -> ArgumentError:
    return ArgumentError(
        f"{what}: images are paths, bytes, PIL images or uint8 arrays (height, width, 3)"
    )
