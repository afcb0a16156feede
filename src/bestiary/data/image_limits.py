"""An image's claimed size and the bytes of its file -> whether it is safe to decode.

A header can claim any size. Memory is allocated only for what the file can hold, and the decoders
of all threads share one budget. Decodes nothing.
"""

import threading
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext

from PIL import Image

from bestiary.data.bit_depth import is_deep
from bestiary.data.intact_pixels import has_damaged_pixels
from bestiary.errors import ImageError, OversizeError

# Half a gigabyte decoded, which is also Pillow's limit. More counts as a decompression bomb.
MAX_PIXELS = 178_000_000
# The most memory that all decoders of this process use at a time, besides the bytes of the files.
# An image that needs more by itself is refused.
MAX_DECODER_BYTES = 2_200_000_000
# Peak of decoding, in bytes a pixel, the result included: benchmarks/reliability/decode_memory.py.
BYTES_PER_PIXEL = {
    "JPEG": 12,
    "MPO": 12,
    "PNG": 12,
    "WEBP": 20,
    "BMP": 12,
    "TIFF": 16,
    "GIF": 12,
    "AVIF": 24,
    "HEIF": 24,
    "JPEG2000": 26,
    "PPM": 12,
    "ICO": 24,
}
DEEP_PNG_BYTES_PER_PIXEL = 24  # a PNG with 16 bits in several channels
SMALL_BYTES = 16_000_000  # below this, a decoder need not wait for others
# The most pixels that a byte of a file can encode. Rejects forged dimensions before memory is
# allocated. JPEG has a bit or more for each block of 64 pixels. Deflate expands one byte to 1,032,
# of 8 pixels each. LZW expands 12 bits to 4,096 bytes.
MAX_PIXELS_PER_BYTE = {
    "JPEG": 1_000,
    "MPO": 1_000,
    "PNG": 8_300,
    "GIF": 4_096,
}
# More pixels for a byte than photographs and drawings have. What claims them may be damaged, so its
# checksums are read before millions of pixels are decoded and converted.
UNUSUAL_PIXELS_PER_BYTE = 100
# A progressive JPEG goes over all pixels once a scan, and a scan takes only a few bytes. So 20 MB
# could occupy a decoder for days. Cameras write 1 scan, web tools write 10. This allows 14 scans of
# the largest image.
MAX_PIXELS_TIMES_SCANS = 14 * MAX_PIXELS
MIN_SCAN_BYTES = 8
SCAN_MARKER = b"\xff\xda"  # begins a scan; inside a scan, a zero byte follows each 255


class _Budget:
    """Memory that threads share. A thread waits until there is room for what it needs."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._used = 0
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, n_bytes: int) -> Iterator[None]:
        """Wait for room, and keep it for the block."""
        with self._changed:
            self._changed.wait_for(lambda: self._used + n_bytes <= self._max_bytes)
            self._used += n_bytes
        try:
            yield
        finally:
            with self._changed:
                self._used -= n_bytes
                self._changed.notify_all()


_BUDGET = _Budget(MAX_DECODER_BYTES)


def reserve_memory(n_bytes: int) -> AbstractContextManager[None]:
    """Wait until the decoders of other threads leave room for one more.

    Args:
        n_bytes: peak of the decoder, at most `MAX_DECODER_BYTES`.

    Returns:
        A context manager that frees the room.
    """
    return nullcontext() if n_bytes < SMALL_BYTES else _BUDGET.reserve(n_bytes)


def decoder_bytes(image_format: str, n_pixels: int, *, is_deep: bool = False) -> int:
    """Bound the memory that decoding an image takes.

    Args:
        image_format: Pillow's name of the format.
        n_pixels: of the image.
        is_deep: whether it has more than 8 bits a sample in several channels.

    Returns:
        Bytes, the result included and the file not.

    Example:
        >>> decoder_bytes("PNG", 1_000_000)
        12000000
    """
    per_pixel = BYTES_PER_PIXEL.get(image_format, max(BYTES_PER_PIXEL.values()))
    if is_deep and image_format == "PNG":
        per_pixel = DEEP_PNG_BYTES_PER_PIXEL
    return n_pixels * per_pixel


def is_plausible_jpeg(content: bytes, n_pixels: int) -> bool:
    """Return whether a JPEG can have so many pixels, in few enough scans.

    Args:
        content: the whole file.
        n_pixels: claimed by its header.
    """
    max_encoded = MAX_PIXELS_PER_BYTE["JPEG"] * len(content)
    is_too_large = decoder_bytes("JPEG", n_pixels) > MAX_DECODER_BYTES
    if is_too_large or n_pixels > min(MAX_PIXELS, max_encoded):
        return False
    return not _has_too_many_scans(content, n_pixels)


def check_size(image: Image.Image, content: bytes) -> int:
    """Refuse too many pixels, a size that these bytes cannot encode, and too many scans.

    Args:
        image: opened by Pillow and not loaded.
        content: the whole file.

    Returns:
        The most bytes of memory that decoding it takes.

    Raises:
        OversizeError: it claims too many pixels or scans, or needs too much memory.
        ImageError: it claims more pixels than its bytes can encode, or unusually many, and its
            pixels are damaged.
    """
    n_pixels = image.width * image.height
    size = f"{image.width} x {image.height} pixels"
    if n_pixels > MAX_PIXELS:
        raise OversizeError(f"{size}: above the limit of {MAX_PIXELS:,}")
    is_deep_color = image.mode in ("RGB", "RGBA", "LA") and is_deep(image, content)
    needed = decoder_bytes(image.format or "", n_pixels, is_deep=is_deep_color)
    if needed > MAX_DECODER_BYTES:
        raise OversizeError(
            f"{size} of {image.format}: needs {needed / 1e9:.1f} GB to decode, above the limit of "
            f"{MAX_DECODER_BYTES / 1e9:g}"
        )

    pixels_per_byte = MAX_PIXELS_PER_BYTE.get(image.format or "", MAX_PIXELS)
    if n_pixels > pixels_per_byte * len(content):
        raise ImageError(f"damaged ({size} cannot be in so few bytes)")
    if n_pixels > UNUSUAL_PIXELS_PER_BYTE * len(content) and has_damaged_pixels(content):
        raise ImageError("damaged (wrong checksum of its pixels)")

    is_jpeg = image.format in ("JPEG", "MPO")
    if is_jpeg and _has_too_many_scans(content, n_pixels):
        n_scans = content.count(SCAN_MARKER)
        raise OversizeError(f"{size} in {n_scans:,} scans: more work than an image is worth")
    return needed


def _has_too_many_scans(content: bytes, n_pixels: int) -> bool:
    """Return whether a JPEG has too many scans for its size."""
    # Count scans only where the file is long enough for too many.
    max_scans = len(content) // MIN_SCAN_BYTES
    if n_pixels * max_scans <= MAX_PIXELS_TIMES_SCANS:
        return False
    n_scans = content.count(SCAN_MARKER)
    return n_pixels * n_scans > MAX_PIXELS_TIMES_SCANS
