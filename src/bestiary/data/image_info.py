"""A picture file's bytes -> what every later check needs to know of it, so that no check opens the file again.

Each fact is a function of the bytes alone, which is why facts can be kept by digest. Knows nothing of labels, of other
pictures, or of what is made of the facts.
"""

import hashlib
from dataclasses import dataclass
from io import BytesIO

import cv2
import numpy as np
from PIL import Image

from bestiary.data.decode import FORMATS, Pixels, decode, read_picture
from bestiary.errors import PictureError
from bestiary.storage.files import Readable

THUMB = 64  # side in pixels of the grey miniature that copies are recognised by


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of one picture file.

    Attributes:
        digest: SHA-256 of the file's bytes, hexadecimal; empty where the file cannot even be read.
        reason: why the picture is unusable, a short phrase; None where it decodes.
        length: of the file in bytes.
        height: of the upright picture in pixels; 0 where it is unusable.
        width: likewise.
        format: Pillow's name of the file format, such as ``JPEG``.
        mode: ``CMYK``, ``deep grey`` or ``transparent`` where colours had to be guessed at; else empty.
        frames: number of frames; 1 but for animations and files of several pages.
        pixels: SHA-256 of height, width and the decoded RGB pixels, hexadecimal.
        spread: grey levels between the darkest and the brightest spot of the thumb.
        thumb: the picture squashed to a grey square, `THUMB` x `THUMB` bytes, row by row.
    """

    digest: str
    reason: str | None
    length: int
    height: int = 0
    width: int = 0
    format: str = ""
    mode: str = ""
    frames: int = 1
    pixels: str = ""
    spread: int = 0
    thumb: bytes = b""


def read_facts(path: Readable, known: dict[str, Facts]) -> Facts:
    """The facts of the file at `path`; those in `known` (by digest) are not worked out again."""
    try:
        content = read_picture(path)
    except PictureError as error:
        return Facts("", error.reason, 0)
    digest = hashlib.sha256(content).hexdigest()
    return known.get(digest) or inspect(content, digest)


def inspect(content: bytes, digest: str) -> Facts:
    """Decode the bytes of a file and note what is found; `digest` is theirs."""
    try:
        pixels = decode(content)
    except PictureError as error:
        return Facts(digest, error.reason, len(content))
    height, width = pixels.shape[:2]
    shape = f"{height} {width} ".encode()
    same = hashlib.sha256(shape + np.ascontiguousarray(pixels).data).hexdigest()
    thumb = _thumb(pixels)
    return Facts(
        digest,
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
        with Image.open(BytesIO(content), formats=FORMATS) as picture:
            name = picture.format or ""
            if (
                name == "MPO"
            ):  # a JPEG with a second view or a preview behind it, as phones write them
                return "JPEG", "", 1
            return name, _mode(picture), int(getattr(picture, "n_frames", 1))
    except Exception:  # the picture decodes, so an odd header is Pillow's trouble and not ours
        return "", "", 1


def _mode(picture: Image.Image) -> str:
    if picture.mode == "CMYK":
        return "CMYK"
    if picture.mode.startswith("I") or picture.mode == "F":
        return "deep grey"
    if picture.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in picture.info:
        return "transparent"
    return ""


def _thumb(pixels: Pixels) -> Pixels:
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    return np.asarray(cv2.resize(grey, (THUMB, THUMB), interpolation=cv2.INTER_AREA), np.uint8)
