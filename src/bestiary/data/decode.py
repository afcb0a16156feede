"""Decode the bytes of an image file to upright RGB pixels: JPEG, PNG, WebP, TIFF, HEIC, AVIF ...

Training, validation, prediction and serving all decode here, and only here. EXIF orientation is
applied. Transparency is composited over white. Palette, gray, 16-bit and CMYK images become 8-bit
RGB. An animation gives its first frame, a TIFF its largest page. Damaged metadata is no fault of
the pixels and is ignored. Plain JPEGs go through libjpeg-turbo (simplejpeg). Everything else goes
through Pillow, and so does every JPEG that simplejpeg rejects. Knows nothing of labels, or of the
size that a network wants.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from bestiary.data.bit_depth import FULL_RANGE, STRIP_PIXELS, SampleKind, WhiteLevel, read_deep
from bestiary.data.crops import crop, whole_side
from bestiary.data.file_kinds import HEAD_BYTES, describe_content, image_format
from bestiary.data.image_limits import (
    MAX_PIXELS,
    check_size,
    decoder_bytes,
    is_plausible_jpeg,
    reserve_memory,
)
from bestiary.data.intact_pixels import (
    JPEG_START,
    has_damaged_pixels,
    with_end_mark,
    without_metadata,
)
from bestiary.data.orientation import exif_orientation, turn_upright
from bestiary.data.pillow_files import has_alpha, open_in_pillow
from bestiary.errors import ForeignError, ImageError, OversizeError, one_line
from bestiary.storage.boxes import split_box
from bestiary.storage.files import Readable, read_file

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

EXIF_START = b"Exif\0\0"
# What libjpeg warns of where it has to invent pixels
DAMAGED_PIXELS = (
    "premature end of data segment",
    "bad Huffman code",
    "bad arithmetic code",
)
CHANGED = "its bytes have changed"
MAX_PAGES = 100  # of a TIFF that are looked at
TAG_NEW_SUBFILE_TYPE = 254  # TIFF 6.0, page 36
IS_REDUCED_OR_MASK = 0b101  # a preview of another page, or its transparency


@dataclass(slots=True)
class DecodingNotes:
    """What had to be assumed of an image; `decode` fills it in.

    Attributes:
        sample_kind: integers or floats, in an image of more than 8 bits that does not say what
            white is; else empty.
        max_value: the largest sample of such an image.
        ignores_alpha: whether the alpha channel was ignored, since nothing at all would show.
    """

    sample_kind: SampleKind = ""
    max_value: float = 0.0
    ignores_alpha: bool = False


# cv2 would start its own threads for each call. bestiary decodes one image per thread.
cv2.setNumThreads(0)


def read_image(path: Readable) -> bytes:
    """Read the bytes of the file at `path`.

    Args:
        path: a file on a disk, in an object store or in a shard.

    Returns:
        The content of the file.

    Raises:
        ImageError: the file is missing, empty or unreadable.
    """
    try:
        content = read_file(path)
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageError(f"cannot be read ({reason})") from None
    if content == b"":
        raise ImageError("empty file")
    return content


def read_unchanged(path: Readable, digest: str) -> bytes:
    """Read a file that is known by its content.

    Args:
        path: the file.
        digest: SHA-256 of its bytes, hexadecimal.

    Returns:
        The content of the file.

    Raises:
        ImageError: the file is missing or unreadable, or its bytes are others.
    """
    content = read_image(path)
    if hashlib.sha256(content).hexdigest() != digest:
        raise ImageError(CHANGED)
    return content


def decode(
    content: bytes,
    *,
    min_side: int = 0,
    white: WhiteLevel | None = FULL_RANGE,
    notes: DecodingNotes | None = None,
) -> Pixels:
    """Decode `content` to upright RGB.

    Args:
        content: a whole image file in one of the `FORMATS`. Where a box stands after it, see
            `bestiary.storage.boxes`, it is cut out.
        min_side: above 0, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as its
            short side has at least this many pixels. This is several times faster, and loses
            only detail finer than that side can show.
        white: the value of white in an image of more than 8 bits that does not say it. None: as its
            largest value suggests, which is good enough to look at, and not for a network.
        notes: takes what was assumed.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: `content` is not an image, is damaged, or claims more than `MAX_PIXELS` pixels.
    """
    content, box = split_box(content)
    side = whole_side(min_side, box) if box else min_side
    pixels = _decode_whole(content, side, white, notes)
    return crop(pixels, box) if box else pixels


def _decode_whole(
    content: bytes, min_side: int, white: WhiteLevel | None, notes: DecodingNotes | None
) -> Pixels:
    if content.startswith(JPEG_START):
        pixels = _decode_plain_jpeg(content, min_side)
        if pixels is not None:
            return pixels
    try:
        pixels = _decode_with_pillow(content, white, notes)
    except OversizeError:
        raise
    except ImageError:
        # Every pixel may be there although the file is damaged.
        intact = _decode_intact_pixels(content, min_side, white, notes)
        if intact is None:
            raise
        return intact
    _check_pixels(content, pixels.size // 3)
    return pixels


def _check_pixels(content: bytes, n_pixels: int) -> None:
    """Refuse a file whose pixels are damaged in ways that Pillow does not notice."""
    if has_damaged_pixels(content):
        raise ImageError("damaged (wrong checksum of its pixels)")
    if not content.startswith(JPEG_START):
        return
    try:
        with reserve_memory(decoder_bytes("JPEG", n_pixels)):
            simplejpeg.decode_jpeg(content, "RGB")
    except ValueError as error:
        if any(words in str(error) for words in DAMAGED_PIXELS):
            raise ImageError(f"damaged ({one_line(error, 60)})") from None


def _decode_intact_pixels(
    content: bytes, min_side: int, white: WhiteLevel | None, notes: DecodingNotes | None
) -> Pixels | None:
    """Decode a file whose damage does not touch its pixels; None if it does."""
    if content.startswith(JPEG_START):
        complete = with_end_mark(content) or content
        return _decode_plain_jpeg(complete, min_side, has_exif=False)
    stripped = without_metadata(content)
    if stripped is None:
        return None
    try:
        return _decode_with_pillow(stripped, white, notes)
    except ImageError:
        return None


def _decode_plain_jpeg(content: bytes, min_side: int, *, has_exif: bool = True) -> Pixels | None:
    """Decode with libjpeg-turbo. Return None where Pillow must decide: CMYK, or any fault.

    Args:
        content: the whole file.
        min_side: as for `decode`.
        has_exif: false where the EXIF is too damaged for Pillow to open the file.
    """
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(content)
        if colorspace in ("CMYK", "YCCK"):
            return None
        if not is_plausible_jpeg(content, height * width):
            return None
        scaling = _jpeg_scaling(min_side)
        with reserve_memory(decoder_bytes("JPEG", height * width)):
            decoded = simplejpeg.decode_jpeg(
                content,
                "RGB",
                fastdct=False,
                fastupsample=False,
                **scaling,
            )
    except ValueError:
        return None

    # Reading EXIF costs a tenth of the decoding, so read it only where the file has any.
    pixels = np.asarray(decoded)
    if not has_exif or EXIF_START not in content:
        return pixels
    return _apply_exif_orientation(pixels, content)


def _jpeg_scaling(min_side: int) -> dict[str, int]:
    if not min_side:
        return {}
    return {
        "min_height": min_side,
        "min_width": min_side,
        "min_factor": 1,
    }


def _apply_exif_orientation(pixels: Pixels, content: bytes) -> Pixels | None:
    """Turn the pixels of a JPEG upright. Return None where Pillow cannot open it."""
    try:
        with open_in_pillow(content) as image:
            return turn_upright(pixels, exif_orientation(image))
    except Exception:  # Pillow raises anything on damaged headers; its own decoder names the fault
        return None


def _decode_with_pillow(
    content: bytes, white: WhiteLevel | None, notes: DecodingNotes | None
) -> Pixels:
    try:
        with open_in_pillow(content) as image:
            _choose_page(image)
            with reserve_memory(check_size(image, content)):
                return to_pixels(image, content, white, notes)
    except Exception as error:  # a decoder raises anything on hostile bytes
        raise image_error(error, content) from None


def _choose_page(image: Image.Image) -> None:
    """Go to the largest page of a TIFF that is neither a preview of another one nor a mask."""
    if image.format != "TIFF":
        return
    sizes = {}
    for page in range(MAX_PAGES):
        try:
            image.seek(page)
        except EOFError:
            break
        kind = image.tag_v2.get(TAG_NEW_SUBFILE_TYPE, 0)  # type: ignore[attr-defined]
        if not int(kind) & IS_REDUCED_OR_MASK:
            sizes[page] = image.width * image.height
    image.seek(max(sizes, key=sizes.__getitem__) if sizes else 0)


def image_error(error: Exception, content: bytes = b"") -> ImageError:
    """Translate what a decoder raised into an error with a short reason.

    Args:
        error: whatever it raised.
        content: the file, if known.

    Returns:
        The error to raise instead.
    """
    if isinstance(error, ImageError):
        return error
    if isinstance(error, UnidentifiedImageError):
        head = content[:HEAD_BYTES]
        known = image_format(head)
        if known:
            return ImageError(f"damaged, or of a kind of {known} that is not read")
        found = describe_content(head)
        return ForeignError(f"not an image ({found})" if found else "not an image")
    if isinstance(error, Image.DecompressionBombError):
        return OversizeError(f"above the limit of {MAX_PIXELS:,} pixels")
    if isinstance(error, MemoryError):
        return OversizeError("too large for this machine's memory")
    if "truncated" in str(error).lower():
        return ImageError("truncated")
    message = " ".join(str(error).split())
    reason = message or type(error).__name__
    return ImageError(f"damaged ({reason})")


def claimed_size(content: bytes) -> tuple[int, int]:
    """Read the size that an image's header claims, without decoding the image.

    Args:
        content: a whole image file.

    Returns:
        Height and width in pixels.

    Raises:
        ForeignError: `content` is not an image.
        OversizeError: it claims more than `MAX_PIXELS` pixels, or too many scans.
        ImageError: its header is damaged, or claims more pixels than its bytes can encode.
    """
    try:
        with open_in_pillow(content) as image:
            _choose_page(image)
            check_size(image, content)
            return image.height, image.width
    except Exception as error:  # a decoder raises anything on hostile bytes
        raise image_error(error, content) from None


def to_pixels(
    image: Image.Image,
    content: bytes = b"",
    white: WhiteLevel | None = FULL_RANGE,
    notes: DecodingNotes | None = None,
) -> Pixels:
    """Convert a Pillow image of any mode to upright 8-bit RGB.

    Args:
        image: any Pillow image; its EXIF orientation is applied.
        content: the file that it was read from, if known.
        white: the value of white in an image of more than 8 bits that does not say it. None: as its
            largest value suggests, which is good enough to look at, and not for a network.
        notes: takes what was assumed.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: the image has gray values outside of the range that white ends.
    """
    # Pillow turns a TIFF upright when it loads it; its 16-bit colors are read elsewhere.
    orientation_of_file = exif_orientation(image)
    deep = read_deep(image, content)
    if deep is not None:
        if notes and deep.own_white is None:
            notes.sample_kind = deep.kind
            notes.max_value = deep.max_value
        is_gray = deep.values.ndim == 2
        orientation = exif_orientation(image) if is_gray else orientation_of_file
        return turn_upright(deep.to_pixels(white), orientation)

    image.load()
    orientation = exif_orientation(image)
    is_visible = not has_alpha(image) or any(
        strip.convert("RGBA").getchannel("A").getbbox() for _, strip in _strips(image)
    )
    if notes:
        notes.ignores_alpha = not is_visible
    return turn_upright(_to_rgb(image, is_visible), orientation)


def _to_rgb(image: Image.Image, is_visible: bool) -> Pixels:
    """Convert a loaded image to RGB, in strips, which takes little memory besides the result.

    Transparency is composited over white. Where nothing at all would show, the alpha channel is
    ignored: it was written by mistake.
    """
    pixels = np.empty((image.height, image.width, 3), np.uint8)
    for rows, strip in _strips(image):
        if has_alpha(image):
            strip = strip.convert("RGBA")
            if is_visible:
                white = Image.new("RGBA", strip.size, "white")
                white.alpha_composite(strip)
                strip = white
        pixels[rows] = np.asarray(strip.convert("RGB"))
    return pixels


def _strips(image: Image.Image) -> Iterator[tuple[slice, Image.Image]]:
    """Yield the rows of an image from top to bottom, with their numbers."""
    n_rows = max(1, STRIP_PIXELS // image.width)
    for top in range(0, image.height, n_rows):
        bottom = min(top + n_rows, image.height)
        yield slice(top, bottom), image.crop((0, top, image.width, bottom))
