"""Decoding: every format and EXIF orientation against Pillow; damaged files give one line."""

import io
import struct
import threading
import warnings
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from bestiary.data import decode as decoding
from bestiary.data.decode import (
    MAX_PIXELS,
    SUFFIXES,
    Pixels,
    claimed_size,
    decode,
    read_image,
    to_pixels,
)
from bestiary.errors import ForeignError, ImageError, OversizeError

Encode = Callable[..., bytes]
Psnr = Callable[..., float]


def by_pillow(content: bytes) -> Pixels:
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def png_header(width: int, height: int, depth: int = 8, color: int = 0) -> bytes:
    """A PNG that claims a size and holds almost no data."""
    header = struct.pack(">IIBBBBB", width, height, depth, color, 0, 0, 0)
    return png_of(header, zlib.compress(bytes(100)))


def png_of(header: bytes, data: bytes) -> bytes:
    return (
        b"\x89PNG\r\n\x1a\n"
        + png_chunk(b"IHDR", header)
        + png_chunk(b"IDAT", data)
        + png_chunk(b"IEND", b"")
    )


def png_chunk(name: bytes, body: bytes) -> bytes:
    checksum = struct.pack(">I", zlib.crc32(name + body))
    return struct.pack(">I", len(body)) + name + body + checksum


def png_16_bit(values: np.ndarray) -> bytes:
    """A 16-bit PNG of (height, width) gray or (height, width, 3) RGB values, which Pillow cannot
    write as RGB.
    """
    color = 0 if values.ndim == 2 else 2
    lines = values.astype(">u2").reshape(len(values), -1)
    data = zlib.compress(b"".join(b"\0" + line.tobytes() for line in lines))
    header = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], 16, color, 0, 0, 0)
    return png_of(header, data)


def refusal(content: bytes) -> str:
    """Check that `content` is refused with a short reason on one line, and return the reason."""
    with pytest.raises(ImageError) as caught:
        decode(content)
    assert str(caught.value) == caught.value.reason
    assert "\n" not in caught.value.reason and 0 < len(caught.value.reason) <= 150
    return caught.value.reason


@pytest.mark.parametrize(
    "options", [{}, {"quality": 30}, {"subsampling": 0}, {"progressive": True}, {"optimize": True}]
)
def test_plain_jpeg_equals_pillow_bit_for_bit(
    smooth: Pixels, encode: Encode, options: dict[str, int]
) -> None:
    content = encode(smooth, **options)
    pixels = decode(content)
    assert pixels.dtype == np.uint8 and pixels.shape == smooth.shape
    np.testing.assert_array_equal(pixels, by_pillow(content))


def test_photographs_equal_pillow_bit_for_bit(photographs: list[Path]) -> None:
    for file in photographs:
        np.testing.assert_array_equal(
            decode(file.read_bytes()), by_pillow(file.read_bytes()), str(file)
        )


def test_gray_jpeg_becomes_rgb(smooth: Pixels, encode: Encode) -> None:
    content = encode(Image.fromarray(smooth).convert("L"))
    pixels = decode(content)
    assert pixels.shape == smooth.shape
    np.testing.assert_array_equal(pixels, by_pillow(content))
    assert decode(content, min_side=32).shape[2] == 3


def test_cmyk_jpeg_is_not_inverted(encode: Encode) -> None:
    colors = np.zeros((32, 96, 3), np.uint8)
    colors[:, :32] = (250, 250, 250)
    colors[:, 32:64] = (220, 30, 30)
    colors[:, 64:] = (20, 20, 20)
    # Pillow writes Adobe's inverted CMYK.
    content = encode(Image.fromarray(colors).convert("CMYK"), quality=95)
    assert b"Adobe" in content
    pixels = decode(content)
    np.testing.assert_array_equal(pixels, by_pillow(content))
    assert np.abs(pixels.astype(int) - colors).mean() < 6
    np.testing.assert_array_equal(decode(content, min_side=8).shape[2], 3)


def test_cmyk_jpeg_without_adobe_marker(encode: Encode) -> None:
    content = encode(Image.new("CMYK", (24, 16), (10, 200, 30, 5)))
    start = content.index(b"\xff\xee")  # APP14
    length = int.from_bytes(content[start + 2 : start + 4], "big")
    bare = content[:start] + content[start + 2 + length :]
    np.testing.assert_array_equal(decode(bare), by_pillow(bare))


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_transparency_is_composited_over_white(encode: Encode, kind: str) -> None:
    rgba = np.zeros((20, 30, 4), np.uint8)
    rgba[..., 0] = 200
    rgba[:, :10, 3] = 0
    rgba[:, 10:20, 3] = 128
    rgba[:, 20:, 3] = 255
    options = {"lossless": True} if kind == "WEBP" else {}
    pixels = decode(encode(rgba, kind, **options))
    np.testing.assert_array_equal(pixels[:, :10], np.full((20, 10, 3), 255))
    np.testing.assert_allclose(pixels[:, 10:20], np.full((20, 10, 3), [227, 127, 127]), atol=1)
    np.testing.assert_array_equal(pixels[:, 20:], np.full((20, 10, 3), [200, 0, 0]))


def test_gray_with_alpha_is_composited_over_white(encode: Encode) -> None:
    image = Image.merge(
        "LA",
        [
            Image.new("L", (4, 4), 40),
            Image.fromarray(np.repeat([[0, 255]], 4, 0).astype("u1").repeat(2, 1)),
        ],
    )
    pixels = decode(encode(image, "PNG"))
    np.testing.assert_array_equal(pixels[:, :2], np.full((4, 2, 3), 255))
    np.testing.assert_array_equal(pixels[:, 2:], np.full((4, 2, 3), 40))


def test_palette_png_equals_its_colors(smooth: Pixels, encode: Encode) -> None:
    palette = Image.fromarray(smooth).quantize(64)
    np.testing.assert_array_equal(
        decode(encode(palette, "PNG")), np.asarray(palette.convert("RGB"))
    )


@pytest.mark.parametrize("kind", ["PNG", "GIF"])
def test_transparent_palette_entry_becomes_white(encode: Encode, kind: str) -> None:
    palette = Image.new("P", (10, 10), 1)
    palette.putpalette([255, 0, 0, 0, 0, 255] + [0] * 30)
    palette.paste(0, (0, 0, 5, 10))
    pixels = decode(encode(palette, kind, transparency=0))
    np.testing.assert_array_equal(pixels[:, :5], np.full((10, 5, 3), 255))
    np.testing.assert_array_equal(pixels[:, 5:], np.full((10, 5, 3), [0, 0, 255]))


@pytest.mark.parametrize("mode", ["L", "1", "RGB"])
def test_gray_one_bit_and_rgb_png(smooth: Pixels, encode: Encode, mode: str) -> None:
    image = Image.fromarray(smooth).convert(mode)
    np.testing.assert_array_equal(decode(encode(image, "PNG")), np.asarray(image.convert("RGB")))


def test_transparent_gray_png_color_becomes_white(encode: Encode) -> None:
    pixels = decode(encode(Image.fromarray(np.array([[10, 90]], np.uint8)), "PNG", transparency=10))
    assert pixels[0, :, 0].tolist() == [255, 90]


def test_16_bit_gray_png_is_scaled() -> None:
    values = np.array([[0, 128, 257, 300], [32768, 40000, 65534, 65535]], np.uint16)
    gray = np.rint(values.astype(float) * 255 / 65535)
    pixels = decode(png_16_bit(values))
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], gray)


def test_16_bit_gray_tiff_is_scaled(encode: Encode) -> None:
    values = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    pixels = decode(encode(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(pixels[..., 1], np.rint(values.astype(float) * 255 / 65535))


def test_16_bit_rgb_keeps_range_and_channels() -> None:
    ramp = np.linspace(0, 65535, 30)
    values = (
        np.stack([ramp, ramp[::-1], np.full(30, 32768)], axis=1)[None]
        .repeat(4, 0)
        .astype(np.uint16)
    )
    pixels = decode(png_16_bit(values))
    # Pillow keeps the upper byte.
    assert np.abs(pixels - values.astype(float) * 255 / 65535).max() <= 1


def test_float_gray_is_scaled_or_refused(encode: Encode) -> None:
    values = np.array([[0.0, 0.25, 1.0]], np.float32)
    np.testing.assert_array_equal(
        decode(encode(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 64, 255]
    )
    for bad in (-0.5, np.nan, 1e6):
        assert "outside" in refusal(
            encode(Image.fromarray(np.array([[0.5, bad]], np.float32)), "TIFF")
        )


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PNG", "GIF", "WEBP"])
def test_other_formats_equal_pillow(smooth: Pixels, encode: Encode, kind: str) -> None:
    content = encode(smooth, kind)
    np.testing.assert_array_equal(decode(content), by_pillow(content))


def test_animation_gives_first_frame(encode: Encode) -> None:
    frames = [Image.new("RGB", (12, 8), color) for color in ("red", "lime", "blue")]
    for kind, options in (("GIF", {}), ("WEBP", {"lossless": True}), ("PNG", {})):
        pixels = decode(encode(frames[0], kind, save_all=True, append_images=frames[1:], **options))
        np.testing.assert_array_equal(pixels, np.full((8, 12, 3), [255, 0, 0]), kind)


def test_tiff_gives_first_page(encode: Encode) -> None:
    pages = [Image.new("RGB", (12, 8), color) for color in ("red", "lime")]
    pixels = decode(encode(pages[0], "TIFF", save_all=True, append_images=pages[1:]))
    np.testing.assert_array_equal(pixels, np.full((8, 12, 3), [255, 0, 0]))


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_undone_as_in_pillow(
    smooth: Pixels, encode: Encode, kind: str, orientation: int
) -> None:
    content = encode(smooth, kind, exif=exif_of(orientation))
    pixels = decode(content)
    assert pixels.shape[:2] == (smooth.shape[:2] if orientation < 5 else smooth.shape[1::-1])
    np.testing.assert_array_equal(pixels, by_pillow(content))
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_scaled_decode_applies_exif(
    smooth: Pixels, encode: Encode, psnr: Psnr, orientation: int
) -> None:
    content = encode(smooth, exif=exif_of(orientation), quality=95)
    small = decode(content, min_side=100)
    full = by_pillow(content)
    assert small.shape[0] < full.shape[0] and small.shape[1] < full.shape[1]
    shrunk = Image.fromarray(full).resize(small.shape[1::-1], Image.Resampling.BOX)
    assert psnr(small, np.asarray(shrunk)) > 35


def test_late_exif_is_found(smooth: Pixels, encode: Encode) -> None:
    content = encode(smooth, exif=exif_of(6))
    comment = b"\xff\xfe\xff\xf0" + b"a" * (0xFFF0 - 2)
    late = content[:2] + comment * 2 + content[2:]
    np.testing.assert_array_equal(decode(late), by_pillow(late))


@pytest.mark.parametrize(
    "exif",
    [
        b"Exif\0\0",
        b"Exif\0\0garbage and more garbage",
        b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01\x03\0",  # more entries than bytes
        # orientation as text
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x02\0\0\0\x01\0\x06\0\0\0\0\0\0",
        # two orientations
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x02\0\x06\0\x06\0\0\0\0",
        # data beyond the end
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\x7f\xff\xff\xff\0\x06\0\x06\0\0\0\0",
        # orientation 42
        b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x2a\0\0\0\0\0\0",
    ],
    ids=["nothing", "garbage", "cut short", "text", "two values", "beyond the end", "42"],
)
def test_damaged_exif_does_not_warn(smooth: Pixels, encode: Encode, exif: bytes) -> None:
    content = encode(smooth, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = by_pillow(content)
    np.testing.assert_array_equal(decode(content), expected)  # a warning would be an error here


@pytest.mark.parametrize("size", [(640, 480), (481, 333), (97, 1500), (1024, 1024)])
@pytest.mark.parametrize("min_side", [1, 40, 96, 120, 250])
def test_scaled_decode_keeps_min_side(
    detailed: Pixels, encode: Encode, psnr: Psnr, size: tuple[int, int], min_side: int
) -> None:
    image = np.asarray(Image.fromarray(detailed).resize(size, Image.Resampling.LANCZOS))
    content = encode(image, quality=95)
    pixels = decode(content, min_side=min_side)
    full = decode(content)
    assert min(pixels.shape[:2]) >= min(min_side, *full.shape[:2])
    # A JPEG is scaled by whole eighths, and its last row and column may show less of the image.
    height, width = full.shape[:2]
    low, wide = pixels.shape[:2]
    eighths = next(
        m for m in range(1, 9) if (-(-height * m // 8), -(-width * m // 8)) == (low, wide)
    )
    padded = Image.fromarray(np.pad(full, ((0, 8), (0, 8), (0, 0)), mode="edge"))
    box = (0, 0, wide * 8 / eighths, low * 8 / eighths)
    ways = (Image.Resampling.BOX, Image.Resampling.LANCZOS)
    assert max(psnr(pixels, np.asarray(padded.resize((wide, low), way, box))) for way in ways) > 30


def test_large_jpeg_is_decoded_smaller(detailed: Pixels, encode: Encode) -> None:
    assert decode(encode(detailed), min_side=112).shape[0] <= 2 * 113
    assert decode(encode(detailed), min_side=901).shape == detailed.shape


def test_scaled_decode_is_for_jpeg_only(smooth: Pixels, encode: Encode) -> None:
    np.testing.assert_array_equal(decode(encode(smooth, "PNG"), min_side=16), smooth)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_image_is_refused(
    detailed: Pixels, encode: Encode, kind: str, share: float
) -> None:
    content = encode(detailed[:120, :160], kind)
    assert refusal(content[: int(len(content) * share)])


def test_truncated_jpeg_is_called_truncated(smooth: Pixels, encode: Encode) -> None:
    content = encode(smooth)
    for end in (len(content) // 2, len(content) - 20):
        assert refusal(content[:end]) == "truncated"
        with pytest.raises(ImageError, match="truncated"):
            decode(content[:end], min_side=16)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"just some text, no image at all\n" * 5,
        b"<!DOCTYPE html><html><body>404 not found</body></html>",
        bytes(5000),
        np.random.default_rng(0).bytes(5000),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(500),
        b"\x89PNG\r\n\x1a\n" + np.random.default_rng(2).bytes(500),
        b"RIFF\0\0\0\0WEBP",
        b"II*\0\x08\0\0\0",
        b"BM",
        b"GIF89a",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(60),
    ],
    ids=lambda content: repr(content[:8]),
)
def test_non_images_are_refused(content: bytes) -> None:
    assert refusal(content)


def test_html_is_not_an_image() -> None:
    assert refusal(b"<html></html>") == "not an image"


def test_unsupported_formats_are_refused(smooth: Pixels, encode: Encode) -> None:
    assert refusal(encode(smooth, "PPM")) == "not an image"
    assert refusal(encode(smooth, "EPS")) == "not an image"  # Pillow would start ghostscript for it


def test_flipped_bytes_decode_or_are_refused(smooth: Pixels, encode: Encode) -> None:
    content = encode(smooth, exif=exif_of(6))
    rng = np.random.default_rng(0)
    outcomes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(150):
            damaged = bytearray(content)
            for index in rng.integers(0, 400, 3):
                damaged[index] = rng.integers(256)
            try:
                outcomes.add(decode(bytes(damaged)).dtype.name)
            except ImageError:
                outcomes.add("refused")
    assert outcomes == {"uint8", "refused"}


def test_decompression_bomb_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(decoding, "to_pixels", lambda image: pytest.fail("decoded"))
    assert f"above the limit of {MAX_PIXELS:,}" in refusal(png_header(50_000, 50_000))
    side = int(MAX_PIXELS**0.5) + 2
    assert "above the limit" in refusal(png_header(side, side))


def test_jpeg_claiming_huge_size_is_refused(smooth: Pixels, encode: Encode) -> None:
    content = bytearray(encode(smooth))
    start = content.index(b"\xff\xc0")
    content[start + 5 : start + 9] = struct.pack(">HH", 50_000, 50_000)
    assert "above the limit" in refusal(bytes(content))


def test_image_below_pixel_limit_is_not_above() -> None:
    side = int(MAX_PIXELS**0.5)
    # One bit a pixel: 25 MB for 200 million pixels.
    assert "above" not in refusal(png_header(side, side, depth=1))


def test_exif_jpeg_above_pillow_limit(
    smooth: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", smooth.shape[0] * smooth.shape[1] // 3)
    try:
        assert decode(encode(smooth, exif=exif_of(6))).shape == (310, 230, 3)
    except ImageError as error:
        assert "limit" in error.reason


def test_threads_restore_warning_filters(
    smooth: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first thread enters and leaves first, and the second leaves last: filters that each thread
    # saved for itself would stay.
    before = list(warnings.filters)
    content = encode(smooth, "PNG")
    first_is_inside, second_is_inside, first_is_done = (threading.Event() for _ in range(3))

    def slow(image: Image.Image) -> Pixels:
        if threading.current_thread().name == "first":
            first_is_inside.set()
            second_is_inside.wait(5)
        else:
            second_is_inside.set()
            first_is_done.wait(5)
        return to_pixels(image)

    def second() -> None:
        first_is_inside.wait(5)
        decode(content)

    monkeypatch.setattr(decoding, "to_pixels", slow)
    threads = [
        threading.Thread(target=decode, args=(content,), name="first"),
        threading.Thread(target=second),
    ]
    for thread in threads:
        thread.start()
    threads[0].join()
    first_is_done.set()
    threads[1].join()
    after = list(warnings.filters)
    warnings.filters[:] = before  # type: ignore[index]
    assert after == before


def test_read_image_says_why_it_failed(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in (
        ("empty.jpg", "empty file"),
        ("gone.jpg", "No such file"),
        ("folder.jpg", "directory"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert "\n" not in caught.value.reason


def test_awkward_images_decode_as_in_pillow(awkward: Path) -> None:
    files = [file for file in sorted(awkward.rglob("*")) if file.suffix.lower() in SUFFIXES]
    assert len(files) > 100
    for file in files[::4]:
        pixels = decode(file.read_bytes())
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            assert pixels.shape == (upright.height, upright.width, 3)
            if upright.mode in ("RGB", "L") and "transparency" not in upright.info:
                np.testing.assert_array_equal(pixels, np.asarray(upright.convert("RGB")), str(file))


def progressive(side: int, scans: int) -> bytes:
    """A progressive JPEG with its last scan repeated."""
    file = io.BytesIO()
    Image.new("L", (side, side)).save(file, "JPEG", progressive=True)
    content = file.getvalue()
    last = content.rindex(b"\xff\xda")
    return content[:last] + content[last:-2] * scans + content[-2:]


def test_jpeg_with_too_many_scans_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert decode(progressive(1_000, 10)).shape == (1_000, 1_000, 3)
    monkeypatch.setattr(decoding, "to_pixels", lambda image: pytest.fail("decoded"))
    monkeypatch.setattr(decoding.simplejpeg, "decode_jpeg", lambda *_, **__: pytest.fail("decoded"))
    endless = progressive(1_000, 2_600)
    assert "scans" in refusal(endless)
    with pytest.raises(OversizeError, match="scans"):
        claimed_size(endless)


def test_claimed_size_reads_header_only(smooth: Pixels, encode: Encode) -> None:
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
