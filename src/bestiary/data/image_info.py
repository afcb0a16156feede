"""An image file's bytes -> `ImageInfo`: size, format, SHA-256 of file and pixels, gray thumb.

An image info depends on the bytes alone, so it can be cached by SHA-256 and no later check opens
the file again. Knows nothing of labels, other images or what uses the infos.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from PIL import Image

from bestiary.data.bit_depth import SampleKind, is_deep
from bestiary.data.crops import crop
from bestiary.data.decode import DecodingNotes, Pixels, decode, read_image
from bestiary.data.exif_time import Taken, read_taken
from bestiary.data.intact_pixels import has_damaged_metadata
from bestiary.data.pillow_files import has_alpha, open_in_pillow
from bestiary.errors import ImageError
from bestiary.storage.boxes import Box, split_box, with_box
from bestiary.storage.files import Readable

ALL_TRANSPARENT = "all transparent"  # mode of an image whose alpha channel is ignored
THUMB_SIDE = 64  # pixels; near duplicates are compared by this gray square


@dataclass(frozen=True, slots=True)
class ImageInfo:
    """What bestiary knows of one image file.

    Attributes:
        sha256: SHA-256 of the file's bytes, hexadecimal; empty if the file cannot be read.
        reason: Why the image is unusable, a short phrase; None if it decodes.
        size_bytes: Size of the file in bytes.
        height: Height of the upright image in pixels; 0 if it is unusable.
        width: Width of the upright image in pixels; 0 if it is unusable.
        format: Pillow's name of the file format, such as ``JPEG``.
        mode: ``CMYK``, ``deep``, ``transparent`` or ``all transparent`` if the conversion to RGB
            had to guess; else empty.
        frames: Number of frames: 1, or more for animations and files of several pages.
        pixel_sha256: SHA-256 of height, width and the decoded RGB pixels, hexadecimal.
        spread: Gray levels between the darkest and the brightest pixel of the thumb.
        has_damaged_metadata: Whether metadata is damaged, and the pixels are not.
        sample_kind: Integers or floats, in an image of more than 8 bits that does not say what
            white is; else empty. Thumb and pixels are then scaled by the image's own range.
        max_value: The largest sample of such an image.
        taken: Seconds since 1970 when it was taken, by the camera's own clock; 0: not known.
        camera: Maker, model and serial number of the camera; empty: not known.
        zone: Offset of its clock, such as +02:00; empty: not known.
        lat: Degrees north where it was taken; None: not known.
        lon: Degrees east; None: not known.
        thumb: The image as a gray square of `THUMB_SIDE` x `THUMB_SIDE` bytes, row by row.
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
    has_damaged_metadata: bool = False
    sample_kind: SampleKind = ""
    max_value: float = 0.0
    taken: float = 0.0
    camera: str = ""
    zone: str = ""
    lat: float | None = None
    lon: float | None = None
    thumb: bytes = b""


def read_image_infos(
    file: Readable, boxes: Sequence[Box], cached: Mapping[str, ImageInfo]
) -> list[ImageInfo]:
    """Read a file and return its image info, or those of boxes in it.

    The file is read once, and decoded once at most: only where an info is not cached.

    Args:
        file: The image.
        boxes: Parts of it; none: the whole image.
        cached: Known image infos by SHA-256.

    Returns:
        One info, or one for each of `boxes`.
    """
    try:
        content = read_image(file)
    except ImageError as error:
        return [ImageInfo("", error.reason, 0)] * max(1, len(boxes))

    digest = hashlib.sha256(content)
    if not boxes:
        sha256 = digest.hexdigest()
        return [cached.get(sha256) or inspect_image(content, sha256)]

    infos = []
    opened = None
    for box in boxes:
        mark = with_box(b"", box)
        with_mark = digest.copy()
        with_mark.update(mark)
        sha256 = with_mark.hexdigest()
        info = cached.get(sha256)
        if info is None:
            opened = opened or _open(content)
            info = _describe(opened, box, sha256, len(content) + len(mark))
        infos.append(info)
    return infos


def inspect_image(content: bytes, sha256: str) -> ImageInfo:
    """Decode the bytes of a file and describe the image.

    Args:
        content: Bytes of the file, and of a box after it if there is one.
        sha256: Their SHA-256, hexadecimal.
    """
    file, box = split_box(content)
    return _describe(_open(file), box, sha256, len(content))


@dataclass(frozen=True, slots=True)
class _Opened:
    """A file that was decoded, see `ImageInfo`."""

    header: "_Header"
    notes: DecodingNotes
    has_damaged_metadata: bool = False
    pixels: Pixels | None = None
    reason: str | None = None


def _open(content: bytes) -> _Opened:
    """Decode a file, and read what it says of itself."""
    notes = DecodingNotes()
    try:
        pixels = decode(content, white=None, notes=notes)
    except ImageError as error:
        return _Opened(_Header(), notes, reason=error.reason)
    return _Opened(_read_header(content), notes, has_damaged_metadata(content), pixels)


def _describe(opened: _Opened, box: Box | None, sha256: str, size_bytes: int) -> ImageInfo:
    """Describe an image, or a box in it."""
    if opened.pixels is None:
        return ImageInfo(sha256, opened.reason, size_bytes)
    pixels = crop(opened.pixels, box) if box else opened.pixels
    height, width = pixels.shape[:2]
    thumb = make_thumb(pixels)
    header = opened.header
    notes = opened.notes
    return ImageInfo(
        sha256=sha256,
        reason=None,
        size_bytes=size_bytes,
        height=height,
        width=width,
        format=header.format,
        mode=ALL_TRANSPARENT if notes.ignores_alpha else header.mode,
        frames=header.frames,
        pixel_sha256=_hash_pixels(pixels),
        spread=int(np.ptp(thumb)),
        has_damaged_metadata=opened.has_damaged_metadata,
        sample_kind=notes.sample_kind,
        max_value=notes.max_value,
        taken=header.taken.seconds,
        camera=header.taken.camera,
        zone=header.taken.zone,
        lat=header.taken.lat,
        lon=header.taken.lon,
        thumb=thumb.tobytes(),
    )


def make_thumb(pixels: Pixels) -> Pixels:
    """Resize an image to a gray square.

    Args:
        pixels: RGB image, uint8 (height, width, 3).

    Returns:
        uint8 (`THUMB_SIDE`, `THUMB_SIDE`).
    """
    gray = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    size = (THUMB_SIDE, THUMB_SIDE)
    thumb = cv2.resize(gray, size, interpolation=cv2.INTER_AREA)
    return np.asarray(thumb, np.uint8)


def _hash_pixels(pixels: Pixels) -> str:
    height, width = pixels.shape[:2]
    shape = f"{height} {width} ".encode()
    content = np.ascontiguousarray(pixels).data
    return hashlib.sha256(shape + content).hexdigest()


class _Header(NamedTuple):
    """What the header of a file says, see `ImageInfo`."""

    format: str = ""
    mode: str = ""
    frames: int = 1
    taken: Taken = Taken()


def _read_header(content: bytes) -> _Header:
    """Read the header of a file that decodes."""
    try:
        with open_in_pillow(content) as image:
            image_format = image.format or ""
            taken = read_taken(image)
            # MPO is a JPEG with a second view or a preview behind it, as phones write them.
            if image_format == "MPO":
                return _Header("JPEG", taken=taken)

            mode = _guessed_mode(image, content)
            frames = int(getattr(image, "n_frames", 1))
            return _Header(image_format, mode, frames, taken)
    except Exception:  # the image decodes, so a header that Pillow rejects is no reason to fail
        return _Header()


def _guessed_mode(image: Image.Image, content: bytes) -> str:
    """Name the color mode if its conversion to RGB had to guess."""
    if image.mode == "CMYK":
        return "CMYK"
    if is_deep(image, content):
        return "deep"
    return "transparent" if has_alpha(image) else ""
