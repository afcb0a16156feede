"""An image file's bytes -> what every later check needs to know of it, so that no check opens the
file again.

Each fact is a function of the bytes alone, which is why facts can be kept by digest. Knows nothing
of labels, of other images, or of what is made of the facts.
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from bestiary.data.decode import FORMATS, Pixels, decode, read_image
from bestiary.errors import ImageError
from bestiary.storage.files import Readable

THUMB = 64  # side in pixels of the gray miniature that copies are recognized by


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What is known of one image file.

    Attributes:
        sha256: SHA-256 of the file's bytes, hexadecimal; empty where the file cannot even be read.
        reason: why the image is unusable, a short phrase; None where it decodes.
        size_bytes: of the file in bytes.
        height: of the upright image in pixels; 0 where it is unusable.
        width: likewise.
        format: Pillow's name of the file format, such as ``JPEG``.
        mode: ``CMYK``, ``deep gray`` or ``transparent`` where colors had to be guessed at; else
            empty.
        frames: number of frames; 1 but for animations and files of several pages.
        pixel_sha256: SHA-256 of height, width and the decoded RGB pixels, hexadecimal.
        spread: gray levels between the darkest and the brightest spot of the thumb.
        thumb: the image squashed to a gray square, `THUMB` x `THUMB` bytes, row by row.
    """

    sha256: str
    reason: str | None
    size_bytes: int
    height: int = 0
    width: int = 0
    format: str = ""
    mode: str = ""
    frames: int = 1
    pixel_sha256: str = ""
    spread: int = 0
    thumb: bytes = b""


def read_image_info(path: Readable, known: dict[str, ImageInfo]) -> ImageInfo:
    """The facts of the file at `path`; those in `known` (by digest) are not worked out again."""
    try:
        content = read_image(path)
    except ImageError as error:
        return ImageInfo("", error.reason, 0)
    sha256 = hashlib.sha256(content).hexdigest()
    return known.get(sha256) or inspect(content, sha256)


def inspect(content: bytes, sha256: str) -> ImageInfo:
    """Decode the bytes of a file and note what is found; `sha256` is theirs."""
    try:
        pixels = decode(content)
    except ImageError as error:
        return ImageInfo(sha256, error.reason, len(content))
    height, width = pixels.shape[:2]
    shape = f"{height} {width} ".encode()
    same = hashlib.sha256(shape + np.ascontiguousarray(pixels).data).hexdigest()
    thumb = _thumb(pixels)
    return ImageInfo(
        sha256,
        None,
        len(content),
        height,
        width,
        *_header(content),
        same,
        int(np.ptp(thumb)),
        thumb.tobytes(),
    )


def _header(content: bytes) -> tuple[str, str, int]:
    """Format, mode and number of frames, as the file's header says; `content` can be decoded."""
    try:
        with Image.open(BytesIO(content), formats=FORMATS) as image:
            name = image.format or ""
            if (
                name == "MPO"
            ):  # a JPEG with a second view or a preview behind it, as phones write them
                return "JPEG", "", 1
            return name, _mode(image), int(getattr(image, "n_frames", 1))
    except Exception:  # the image decodes, so an odd header is Pillow's trouble and not ours
        return "", "", 1


def _mode(image: Image.Image) -> str:
    if image.mode == "CMYK":
        return "CMYK"
    if image.mode.startswith("I") or image.mode == "F":
        return "deep gray"
    if image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info:
        return "transparent"
    return ""


def _thumb(pixels: Pixels) -> Pixels:
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(gray, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)
