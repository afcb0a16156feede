"""Images of any kind that `predict` accepts -> paths: those in memory are saved as files.

Pixels become PNG files, which lose nothing; the bytes of an image file stay as they are. Knows
nothing of labels.
"""

import io
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

from bestiary.atomic import write_bytes
from bestiary.data.eval_view import EvalView
from bestiary.ensemble.inputs import ImageInputs, ImagePart, image_parts, place_of, read_content

VIEW = EvalView(1)  # decodes no file here; its white is that of images that do not state theirs
FASTEST = 1  # PNG's compression: three times as fast as the usual one, and a tenth larger


def saved_images(images: ImageInputs, folder: Path) -> list[str]:
    """Name each image by a path, after saving those that have none.

    Args:
        images: as for `Ensemble.predict`.
        folder: where images in memory are saved, by their numbers. It need not exist.

    Returns:
        Paths and addresses, in the order of the images.

    Raises:
        ImageError: an image cannot be read.
        ArgumentError: an input is of an unsupported type.
        BestiaryError: the folder cannot be written.

    Example:
        >>> saved_images(["a.jpg", np.zeros((4, 4, 3), np.uint8)], Path("saved"))
        ['a.jpg', 'saved/000001.png']
    """
    paths = []
    for part in image_parts(images):
        for row, image in enumerate(part.images):
            path = place_of(image)
            if not path:
                file, content = _content(part, row, image)
                write_bytes(folder / file, content)
                path = str(folder / file)
            paths.append(path)
    return paths


def _content(part: ImagePart, row: int, image: Any) -> tuple[str, bytes]:
    """Name and bytes of the file of an image in memory."""
    name = f"{part.start + row:06d}"
    if not isinstance(image, Image.Image | np.ndarray | torch.Tensor):
        return name, read_content(image)
    stream = io.BytesIO()
    Image.fromarray(part.pixels(row, VIEW)).save(stream, "PNG", compress_level=FASTEST)
    return f"{name}.png", stream.getvalue()
