"""Limits of decoding: images of too many pixels or scans are refused before they are decoded."""

import io
import struct
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext

import pytest
from PIL import Image

from bestiary.data import decode as decoding
from bestiary.data import image_limits
from bestiary.data.decode import Pixels, claimed_size, decode
from bestiary.data.image_limits import MAX_PIXELS
from bestiary.errors import ForeignError, ImageError, OversizeError

Encode = Callable[..., bytes]
ExifOf = Callable[[int], bytes]
Refusal = Callable[[bytes], str]


def test_decompression_bomb_is_refused(
    monkeypatch: pytest.MonkeyPatch, refusal: Refusal, png_header: Encode
) -> None:
    monkeypatch.setattr(decoding, "to_pixels", lambda *_: pytest.fail("decoded"))
    assert f"above the limit of {MAX_PIXELS:,}" in refusal(png_header(50_000, 50_000))
    side = int(MAX_PIXELS**0.5) + 2
    assert "above the limit" in refusal(png_header(side, side))


def test_many_damaged_pixels_are_not_decoded(
    monkeypatch: pytest.MonkeyPatch, refusal: Refusal, png_header: Encode
) -> None:
    content = bytearray(png_header(500, 100))
    content[-17] ^= 0xFF  # the last byte of the stream's own checksum; IEND has 12 bytes
    content[-13] ^= 0xFF  # and of the chunk's
    monkeypatch.setattr(decoding, "to_pixels", lambda *_: pytest.fail("decoded"))
    assert "wrong checksum of its pixels" in refusal(bytes(content))


def test_jpeg_claiming_huge_size_is_refused(
    smooth: Pixels, encode: Encode, refusal: Refusal
) -> None:
    content = bytearray(encode(smooth))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", 50_000, 50_000)
    assert "above the limit" in refusal(bytes(content))


def test_image_below_pixel_limit_is_not_above(refusal: Refusal, png_header: Encode) -> None:
    side = int(MAX_PIXELS**0.5)
    # One bit a pixel: 25 MB for 200 million pixels.
    assert "above" not in refusal(png_header(side, side, depth=1))


def test_exif_jpeg_above_pillow_limit(
    smooth: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch, exif_of: ExifOf
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", smooth.shape[0] * smooth.shape[1] // 3)
    try:
        assert decode(encode(smooth, exif=exif_of(6))).shape == (310, 230, 3)
    except ImageError as error:
        assert "limit" in error.reason


def progressive(side: int, scans: int) -> bytes:
    """A progressive JPEG with its last scan repeated."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]


def test_jpeg_with_too_many_scans_is_refused(
    monkeypatch: pytest.MonkeyPatch, refusal: Refusal
) -> None:
    assert decode(progressive(1_000, 10)).shape == (1_000, 1_000, 3)
    monkeypatch.setattr(decoding, "to_pixels", lambda *_: pytest.fail("decoded"))
    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    endless = progressive(1_000, 2_600)
    assert "scans" in refusal(endless)
    with pytest.raises(OversizeError, match="scans"):
        claimed_size(endless)


def test_claimed_size_reads_header_only(smooth: Pixels, encode: Encode, png_header: Encode) -> None:
    height, width = smooth.shape[:2]
    for kind in ("JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"):
        content = encode(smooth, kind)
        assert claimed_size(content) == (height, width)
        assert claimed_size(content[: int(len(content) * 0.7)] if kind == "JPEG" else content) == (
            height,
            width,
        )
    with pytest.raises(ForeignError, match="not an image"):
        claimed_size(b"text")
    with pytest.raises(OversizeError, match="above the limit"):
        claimed_size(png_header(50_000, 50_000))
    with pytest.raises(ImageError, match="so few bytes"):
        claimed_size(png_header(10_000, 10_000))


def test_an_image_that_needs_too_much_memory_is_refused(
    refusal: Refusal, png_header: Encode
) -> None:
    """Each pixel type has its own bytes a pixel; the pixels alone are within the limit."""
    side = int((MAX_PIXELS * 0.9) ** 0.5)
    assert "GB to decode" in refusal(png_header(side, side, depth=16, color=2))
    # The same size at 8 bits fails later: its data is missing.
    assert "GB to decode" not in refusal(png_header(side, side, depth=1))


def test_decoders_share_their_memory() -> None:
    budget = image_limits._Budget(100)
    inside = 0
    most = 0
    lock = threading.Lock()

    def decode_something() -> None:
        nonlocal inside, most
        with budget.reserve(40):
            with lock:
                inside += 1
                most = max(most, inside)
            time.sleep(0.02)
            with lock:
                inside -= 1

    threads = [threading.Thread(target=decode_something) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 2 and inside == 0


def test_a_failed_decoder_frees_its_memory() -> None:
    budget = image_limits._Budget(100)
    for _ in range(3):
        with pytest.raises(ImageError), budget.reserve(80):
            raise ImageError("damaged")
    with budget.reserve(100):
        pass


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "WEBP"])
def test_large_images_reserve_memory_before_they_are_decoded(
    kind: str, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    reserved = []

    def reserve(n_bytes: int) -> nullcontext[None]:
        reserved.append(n_bytes)
        return nullcontext()

    monkeypatch.setattr(decoding, "reserve_memory", reserve)
    decode(encode(Image.new("RGB", (200, 100)), kind))
    assert len(reserved) == 1 and reserved[0] >= 200 * 100 * 12
