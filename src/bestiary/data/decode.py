"""An image's bytes -> upright RGB pixels, the one way that training, validation, prediction and
serving all use.

EXIF orientation is applied here and nowhere else; transparency is laid over white; palette, gray,
16-bit and CMYK images become 8-bit RGB; of an animation the first frame is taken. Plain JPEGs go
through libjpeg-turbo (simplejpeg), everything else through Pillow, which also has the last word on
a JPEG that simplejpeg finds fault with. Knows nothing of labels, sizes asked for by a network, or
files other than the one it is given.
"""

import threading
import warnings
from io import BytesIO

import cv2
import numpy as np
import simplejpeg
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from bestiary.errors import ForeignError, ImageError, OversizeError
from bestiary.storage.files import Readable

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

SUFFIXES = frozenset(
    {".jpg", ".jpeg", ".jpe", ".jfif", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif"}
)
# half a gigabyte decoded, where Pillow stops too; what claims more is taken for a bomb
MAX_PIXELS = 178_000_000
# What a byte of a file can at most stand for, so that a forged size is told before memory is taken
# and time spent. JPEG has a bit or more for each block of 64; deflate makes 1,032 bytes of one, 8
# pixels each; LZW 4,096 of 12 bits.
MOST_PIXELS_A_BYTE = {"JPEG": 1_000, "MPO": 1_000, "PNG": 8_300, "GIF": 4_096}
# A progressive JPEG goes over all pixels once a scan, and a scan takes a few bytes: 20 MB could
# keep a decoder busy for days. Cameras write 1 scan, the web's tools 10; this is 14 of those at the
# most pixels.
MOST_SCANNED = 14 * MAX_PIXELS  # pixels times scans
LEAST_SCAN = 8  # bytes
SCAN = b"\xff\xda"  # begins a scan; inside one, a zero byte follows each 255
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF")

# cv2 would start threads of its own for each call; bestiary runs one image a thread.
cv2.setNumThreads(0)


class _Quiet:
    """Ignores Pillow's warnings while any thread decodes.

    Pillow warns of bombs, odd EXIF and palettes: the bound on pixels is ours, the rest does no
    harm. Python keeps one list of filters for all threads, so the first to come sets it and the
    last to go puts it back.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside = 0
        self._filters = warnings.catch_warnings()

    def __enter__(self) -> None:
        with self._lock:
            if not self._inside:
                self._filters = warnings.catch_warnings()
                self._filters.__enter__()
                warnings.filterwarnings("ignore", module="PIL")
            self._inside += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._inside -= 1
            if not self._inside:
                self._filters.__exit__(None, None, None)


_PILLOW_QUIET = _Quiet()


def read_image(path: Readable) -> bytes:
    """The bytes of the file at `path`.

    Raises:
        ImageError: the file is missing, empty or cannot be read.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ImageError(f"cannot be read ({error.strerror or type(error).__name__})") from None
    if not content:
        raise ImageError("empty file")
    return content


def decode(content: bytes, *, min_side: int = 0) -> Pixels:
    """Decode `content` to upright RGB.

    Args:
        content: a whole JPEG, PNG, WebP, BMP, TIFF or GIF file.
        min_side: if above 0, a JPEG may be decoded at 1/2, 1/4 or 1/8 of its size as long as its
            short side keeps at least this many pixels: several times faster, and what is lost is
            detail finer than that side can show.

    Returns:
        uint8 array (height, width, 3).

    Raises:
        ImageError: `content` is not an image, is damaged, or claims more than `MAX_PIXELS` pixels.
    """
    if content[:3] == b"\xff\xd8\xff":
        pixels = _decode_plain_jpeg(content, min_side)
        if pixels is not None:
            return pixels
    return _decode_with_pillow(content)


def _decode_plain_jpeg(content: bytes, min_side: int) -> Pixels | None:
    """The fast path; None where Pillow must look: CMYK, or any fault."""
    try:
        height, width, colorspace, _ = simplejpeg.decode_jpeg_header(content)
        if (
            colorspace in ("CMYK", "YCCK")
            or height * width > min(MAX_PIXELS, MOST_PIXELS_A_BYTE["JPEG"] * len(content))
            or _is_endless(content, height * width)
        ):
            return None
        pixels = (
            simplejpeg.decode_jpeg(
                content,
                "RGB",
                fastdct=False,
                fastupsample=False,
                min_height=min_side,
                min_width=min_side,
                min_factor=1,
            )
            if min_side
            else simplejpeg.decode_jpeg(content, "RGB", fastdct=False, fastupsample=False)
        )
    except ValueError:
        return None
    # Reading EXIF costs a tenth of the decoding, so it is read only where the file has any.
    if content.find(b"Exif\0\0") < 0:
        return np.asarray(pixels)
    try:
        with _PILLOW_QUIET, Image.open(BytesIO(content), formats=FORMATS) as image:
            return _turn_upright(np.asarray(pixels), image.getexif().get(0x0112, 1))
    except Exception:  # Pillow fails on damaged EXIF in any way; decoding by it says what is wrong
        return None


def _turn_upright(pixels: Pixels, orientation: int) -> Pixels:
    """Undo an EXIF orientation, 1 to 8 (CIPA DC-008, tag 0x0112)."""
    if orientation in (5, 6, 7, 8):
        pixels = pixels.transpose(1, 0, 2)
    if orientation in (2, 3, 6, 7):
        pixels = pixels[:, ::-1]
    if orientation in (3, 4, 7, 8):
        pixels = pixels[::-1]
    return np.ascontiguousarray(pixels)


def _decode_with_pillow(content: bytes) -> Pixels:
    try:
        with _PILLOW_QUIET, Image.open(BytesIO(content), formats=FORMATS) as image:
            _check_size(image, content)
            return to_pixels(image)
    except (
        Exception
    ) as error:  # a decoder may fail in any way on hostile bytes; each is a damaged image
        raise _named(error) from None


def _named(error: Exception) -> ImageError:
    """What a decoder raised, as a reason."""
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
    return ImageError(f"damaged ({' '.join(str(error).split()) or type(error).__name__})")


def claimed_size(content: bytes) -> tuple[int, int]:
    """Height and width in pixels that an image's header claims, before anything is decoded.

    Raises:
        ForeignError: `content` is no image.
        OversizeError: it claims more than `MAX_PIXELS`, or more scans than anyone needs.
        ImageError: its header is damaged, or claims what cannot be in so few bytes.
    """
    try:
        with _PILLOW_QUIET, Image.open(BytesIO(content), formats=FORMATS) as image:
            _check_size(image, content)
            return image.height, image.width
    except Exception as error:  # as above
        raise _named(error) from None


def _check_size(image: Image.Image, content: bytes) -> None:
    """Refuse a size that is a bomb's, or that a file of these bytes cannot hold, and the work of
    too many scans.
    """
    pixels = image.width * image.height
    size = f"{image.width} x {image.height} pixels"
    if pixels > MAX_PIXELS:
        raise OversizeError(f"{size}: above the limit of {MAX_PIXELS:,}")
    if pixels > MOST_PIXELS_A_BYTE.get(image.format or "", MAX_PIXELS) * len(content):
        raise ImageError(f"damaged ({size} cannot be in so few bytes)")
    if image.format in ("JPEG", "MPO") and _is_endless(content, pixels):
        raise OversizeError(
            f"{size} in {content.count(SCAN):,} scans: more work than an image is worth"
        )


def _is_endless(content: bytes, pixels: int) -> bool:
    """Whether a JPEG of so many pixels has more scans than it is worth; they are counted only
    where that can be.
    """
    if pixels * (len(content) // LEAST_SCAN) <= MOST_SCANNED:
        return False
    return pixels * content.count(SCAN) > MOST_SCANNED


def to_pixels(image: Image.Image) -> Pixels:
    """Upright 8-bit RGB, uint8 (height, width, 3), of a Pillow image of any mode.

    Raises:
        ImageError: gray values that have no place in 0...255.
    """
    image.load()
    image = ImageOps.exif_transpose(image)
    if image.mode.startswith("I") or image.mode == "F":
        return _from_deep_gray(np.asarray(image))
    if "transparency" in image.info or image.mode in ("RGBA", "LA", "PA", "La", "RGBa"):
        rgba = image.convert("RGBA")
        paper = Image.new("RGBA", rgba.size, "white")
        paper.alpha_composite(rgba)
        image = paper
    return np.array(image.convert("RGB"))


def _from_deep_gray(values: NDArray[np.generic]) -> Pixels:
    """Gray of more than 8 bits: its full range 0...65535 becomes 0...255; floats must lie in
    0...1.
    """
    numbers = values.astype(np.float64)
    if not np.isfinite(numbers).all() or numbers.min() < 0 or numbers.max() > 65535:
        raise ImageError("gray values outside 0...65535")
    scale = 255.0 if values.dtype.kind == "f" and numbers.max() <= 1 else 255.0 / 65535.0
    gray = np.rint(numbers * scale).astype(np.uint8)
    return np.repeat(gray[..., None], 3, axis=2)
