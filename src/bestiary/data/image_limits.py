"""An image's claimed size and the bytes of its file -> whether it is safe to decode.

A header can claim any size. Memory is allocated only for what the file can hold. Decodes nothing.
"""

from PIL import Image

from bestiary.errors import ImageError, OversizeError

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


def is_plausible_jpeg(content: bytes, n_pixels: int) -> bool:
    """Return whether a JPEG can have so many pixels, in few enough scans.

    Args:
        content: the whole file.
        n_pixels: claimed by its header.
    """
    max_encoded = MAX_PIXELS_PER_BYTE["JPEG"] * len(content)
    if n_pixels > min(MAX_PIXELS, max_encoded):
        return False
    return not _has_too_many_scans(content, n_pixels)


def check_size(image: Image.Image, content: bytes) -> None:
    """Refuse too many pixels, a size that these bytes cannot encode, and too many scans.

    Args:
        image: opened by Pillow and not loaded.
        content: the whole file.

    Raises:
        OversizeError: it claims too many pixels or scans.
        ImageError: it claims more pixels than its bytes can encode.
    """
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
