"""Decode the bytes of an image file to upright RGB pixels: JPEG, PNG, WebP, BMP, TIFF and GIF.

Training, validation, prediction and serving all decode here, and only here. EXIF orientation is
applied. Transparency is composited over white. Palette, gray, 16-bit and CMYK images become 8-bit
RGB. An animation gives its first frame. Plain JPEGs go through libjpeg-turbo (simplejpeg).
Everything else goes through Pillow, and so does every JPEG that simplejpeg rejects. Knows nothing
of labels, or of the size that a network wants.
"""

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import ExifTags, Image, ImageOps, UnidentifiedImageError

from bestiary.errors import ForeignError, ImageError, OversizeError
from bestiary.storage.files import Readable

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
)
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")
# Half a gigabyte decoded, which is also Pillow's limit. More counts as a decompression bomb.
MAX_PIXELS = 178_000_000
# The most pixels that a byte of a file can encode. Rejects forged dimensions before memory is
# allocated. JPEG has a bit or more for each block of 64 pixels. Deflate expands one byte to 1,032,
# of 8 pixels each. LZW expands 12 bits to 4,096 bytes.
MAX_PIXELS_PER_BYTE = {
    "JPEG": 1_000,
    "MPO": 1_000,
    "PNG": 8_300,
    "GIF": 4_096,
}
# A progressive JPEG goes over all pixels once a scan, and a scan takes only a few bytes. So 20 MB
# could occupy a decoder for days. Cameras write 1 scan, web tools write 10. This allows 14 scans of
# the largest image.
MAX_PIXELS_TIMES_SCANS = 14 * MAX_PIXELS
MIN_SCAN_BYTES = 8
SCAN_MARKER = b"\xff\xda"  # begins a scan; inside a scan, a zero byte follows each 255
JPEG_START = b"\xff\xd8\xff"
EXIF_START = b"Exif\0\0"
ALPHA_MODES = ("RGBA", "LA", "PA", "La", "RGBa")  # Pillow's modes with transparency

# cv2 would start its own threads for each call. bestiary decodes one image per thread.
cv2.setNumThreads(0)


class _PillowWarningsOff:
    """Ignore Pillow's warnings while any thread decodes.

    Pillow warns of bombs, odd EXIF and palettes. bestiary has its own limit on pixels, and the
    other warnings are harmless. Python has one list of warning filters for all threads, so the
    first thread to enter sets it and the last to leave restores it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._n_inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._n_inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
            self._n_inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._n_inside -= 1
            if not self._n_inside:
                self._filters.__exit__(None, None, None)


_PILLOW_WARNINGS_OFF = _PillowWarningsOff()


@contextmanager
def _open_in_pillow(content: bytes) -> Iterator[Image.Image]:
    """Open an image file in Pillow, without Pillow's warnings. Reads the header alone."""
    with _PILLOW_WARNINGS_OFF, Image.open(BytesIO(content), formats=FORMATS) as image:
        yield image


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
        content = path.read_bytes()
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise ImageError(f"cannot be read ({reason})") from None
    if content == b"":
        raise ImageError("empty file")
    return content


def decode(content: bytes, *, min_side: int = 0) -> Pixels:
    """Decode `content` to upright RGB.

    Args:
        content: a whole JPEG, PNG, WebP, BMP, TIFF or GIF file.
        min_side: above 0, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size, as long as its
            short side has at least this many pixels. This is several times faster, and loses
            only detail finer than that side can show.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: `content` is not an image, is damaged, or claims more than `MAX_PIXELS` pixels.
    """
    if content.startswith(JPEG_START):
        pixels = _decode_plain_jpeg(content, min_side)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(content)


def _decode_plain_jpeg(content: bytes, min_side: int) -> Pixels | None:
    """Decode with libjpeg-turbo. Return None where Pillow must decide: CMYK, or any fault."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(content)
        if colorspace in ("CMYK", "YCCK"):
            return None
        if not _is_plausible_jpeg(content, height * width):
            return None
        scaling = _jpeg_scaling(min_side)
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
    if EXIF_START not in content:
        return pixels
    return _apply_exif_orientation(pixels, content)


def _is_plausible_jpeg(content: bytes, n_pixels: int) -> bool:
    """Return whether these bytes can encode so many pixels, in few enough scans."""
    max_encoded = MAX_PIXELS_PER_BYTE["JPEG"] * len(content)
    if n_pixels > min(MAX_PIXELS, max_encoded):
        return False
    return not _has_too_many_scans(content, n_pixels)


def _jpeg_scaling(min_side: int) -> dict[str, int]:
    if not min_side:
        return {}
    return {
        "min_height": min_side,
        "min_width": min_side,
        "min_factor": 1,
    }


def _apply_exif_orientation(pixels: Pixels, content: bytes) -> Pixels | None:
    """Turn the pixels of a JPEG upright. Return None where its EXIF is damaged."""
    try:
        with _open_in_pillow(content) as image:
            exif = image.getexif()
            orientation = exif.get(ExifTags.Base.Orientation, 1)
            return _turn_upright(pixels, orientation)
    except Exception:  # Pillow raises anything on damaged EXIF; its own decoder names the fault
        return None


def _turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation, 1 to 8 (CIPA DC-008, tag 0x0112)."""
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


def _decode_with_pillow(content: bytes) -> Pixels:
    try:
        with _open_in_pillow(content) as image:
            _check_size(image, content)
            return to_pixels(image)
    except Exception as error:  # a decoder raises anything on hostile bytes
        raise image_error(error) from None


def image_error(error: Exception) -> ImageError:
    """Translate what a decoder raised into an error with a short reason.

    Args:
        error: whatever it raised.

    Returns:
        The error to raise instead.
    """
    if isinstance(error, ImageError):
        return error
    if isinstance(error, UnidentifiedImageError):
        return ForeignError("not an image")
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
        with _open_in_pillow(content) as image:
            _check_size(image, content)
            return image.height, image.width
    except Exception as error:  # a decoder raises anything on hostile bytes
        raise image_error(error) from None


def _check_size(image: Image.Image, content: bytes) -> None:
    """Refuse too many pixels, a size that these bytes cannot encode, and too many scans."""
    n_pixels = image.width * image.height
    size = f"{image.width} x {image.height} pixels"
    if n_pixels > MAX_PIXELS:
        raise OversizeError(f"{size}: above the limit of {MAX_PIXELS:,}")

    pixels_per_byte = MAX_PIXELS_PER_BYTE.get(image.format or "", MAX_PIXELS)
    if n_pixels > pixels_per_byte * len(content):
        raise ImageError(f"damaged ({size} cannot be in so few bytes)")

    is_jpeg = image.format in ("JPEG", "MPO")
    if is_jpeg and _has_too_many_scans(content, n_pixels):
        n_scans = content.count(SCAN_MARKER)
        raise OversizeError(f"{size} in {n_scans:,} scans: more work than an image is worth")


def _has_too_many_scans(content: bytes, n_pixels: int) -> bool:
    """Return whether a JPEG has too many scans for its size."""
    # Count scans only where the file is long enough for too many.
    max_scans = len(content) // MIN_SCAN_BYTES
    if n_pixels * max_scans <= MAX_PIXELS_TIMES_SCANS:
        return False
    n_scans = content.count(SCAN_MARKER)
    return n_pixels * n_scans > MAX_PIXELS_TIMES_SCANS


def to_pixels(image: Image.Image) -> Pixels:
    """Convert a Pillow image of any mode to upright 8-bit RGB.

    Args:
        image: any Pillow image; its EXIF orientation is applied.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: the image has gray values outside 0...65535.
    """
    image.load()
    image = ImageOps.exif_transpose(image)

    is_deep_gray = image.mode.startswith("I") or image.mode == "F"
    if is_deep_gray:
        values = np.asarray(image)
        return _from_deep_gray(values)

    if "transparency" in image.info or image.mode in ALPHA_MODES:
        image = _over_white(image)
    rgb = image.convert("RGB")
    return np.array(rgb)


def _over_white(image: Image.Image) -> Image.Image:
    """Composite a transparent image over a white background."""
    rgba = image.convert("RGBA")
    background = Image.new("RGBA", rgba.size, "white")
    background.alpha_composite(rgba)
    return background


def _from_deep_gray(values: NDArray[np.generic]) -> Pixels:
    """Scale gray of more than 8 bits: 0...65535 to 0...255, or 0...1 to 0...255 for floats."""
    gray = values.astype(np.float64)
    is_finite = np.isfinite(gray).all()
    if not is_finite or gray.min() < 0 or gray.max() > 65535:
        raise ImageError("gray values outside 0...65535")

    scale = 255.0 / 65535.0
    is_float = values.dtype.kind == "f"
    if is_float and gray.max() <= 1:
        scale = 255.0

    scaled = np.rint(gray * scale)
    gray_bytes = scaled.astype(np.uint8)
    return np.repeat(gray_bytes[..., None], 3, axis=2)
