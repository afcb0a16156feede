"""Decoding: every format and color mode against Pillow; threads decode side by side."""

import threading
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageOps

from bestiary.data import decode as decoding
from bestiary.data.decode import Pixels, decode, to_pixels
from bestiary.data.file_kinds import SUFFIX_FORMATS

Encode = Callable[..., bytes]
ByPillow = Callable[[bytes], Pixels]
Refusal = Callable[[bytes], str]


@pytest.mark.parametrize(
    "options", [{}, {"quality": 30}, {"subsampling": 0}, {"progressive": True}, {"optimize": True}]
)
def test_plain_jpeg_equals_pillow_bit_for_bit(
    smooth: Pixels, encode: Encode, options: dict[str, int], by_pillow: ByPillow
) -> None:
    content = encode(smooth, **options)
    pixels = decode(content)
    assert pixels.dtype == np.uint8 and pixels.shape == smooth.shape
    np.testing.assert_array_equal(pixels, by_pillow(content))


def test_photographs_equal_pillow_bit_for_bit(photographs: list[Path], by_pillow: ByPillow) -> None:
    for file in photographs:
        np.testing.assert_array_equal(
            decode(file.read_bytes()), by_pillow(file.read_bytes()), str(file)
        )


def test_gray_jpeg_becomes_rgb(smooth: Pixels, encode: Encode, by_pillow: ByPillow) -> None:
    content = encode(Image.fromarray(smooth).convert("L"))
    pixels = decode(content)
    assert pixels.shape == smooth.shape
    np.testing.assert_array_equal(pixels, by_pillow(content))
    assert decode(content, min_side=32).shape[2] == 3


def test_cmyk_jpeg_is_not_inverted(encode: Encode, by_pillow: ByPillow) -> None:
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


def test_cmyk_jpeg_without_adobe_marker(encode: Encode, by_pillow: ByPillow) -> None:
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


def test_16_bit_gray_png_is_scaled(png_16_bit: Encode) -> None:
    values = np.array([[0, 128, 257, 300], [32768, 40000, 65534, 65535]], np.uint16)
    gray = np.rint(values.astype(float) * 255 / 65535)
    pixels = decode(png_16_bit(values))
    for channel in range(3):
        np.testing.assert_array_equal(pixels[..., channel], gray)


def test_16_bit_gray_tiff_is_scaled(encode: Encode) -> None:
    values = np.linspace(0, 65535, 48).astype(np.uint16).reshape(6, 8)
    pixels = decode(encode(Image.fromarray(values), "TIFF"))
    np.testing.assert_array_equal(pixels[..., 1], np.rint(values.astype(float) * 255 / 65535))


def test_16_bit_rgb_keeps_range_and_channels(png_16_bit: Encode) -> None:
    ramp = np.linspace(0, 65535, 30)
    values = (
        np.stack([ramp, ramp[::-1], np.full(30, 32768)], axis=1)[None]
        .repeat(4, 0)
        .astype(np.uint16)
    )
    pixels = decode(png_16_bit(values))
    # Pillow keeps the upper byte.
    assert np.abs(pixels - values.astype(float) * 255 / 65535).max() <= 1


def test_float_gray_is_scaled_or_refused(encode: Encode, refusal: Refusal) -> None:
    values = np.array([[0.0, 0.25, 1.0]], np.float32)
    np.testing.assert_array_equal(
        decode(encode(Image.fromarray(values), "TIFF"))[0, :, 0], [0, 64, 255]
    )
    for bad in (-0.5, np.nan, 1e6):
        assert "outside" in refusal(
            encode(Image.fromarray(np.array([[0.5, bad]], np.float32)), "TIFF")
        )


@pytest.mark.parametrize("kind", ["BMP", "TIFF", "PNG", "GIF", "WEBP"])
def test_other_formats_equal_pillow(
    smooth: Pixels, encode: Encode, kind: str, by_pillow: ByPillow
) -> None:
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


def test_awkward_images_decode_as_in_pillow(awkward: Path) -> None:
    files = [file for file in sorted(awkward.rglob("*")) if file.suffix.lower() in SUFFIX_FORMATS]
    assert len(files) > 100
    for file in files[::4]:
        pixels = decode(file.read_bytes())
        with Image.open(file) as image:
            upright = ImageOps.exif_transpose(image)
            assert pixels.shape == (upright.height, upright.width, 3)
            if upright.mode in ("RGB", "L") and "transparency" not in upright.info:
                np.testing.assert_array_equal(pixels, np.asarray(upright.convert("RGB")), str(file))


def test_threads_restore_warning_filters(
    smooth: Pixels, encode: Encode, monkeypatch: pytest.MonkeyPatch
) -> None:
    # The first thread enters and leaves first, and the second leaves last: filters that each thread
    # saved for itself would stay.
    before = list(warnings.filters)
    content = encode(smooth, "PNG")
    first_is_inside, second_is_inside, first_is_done = (threading.Event() for _ in range(3))

    def slow(image: Image.Image, *options: Any) -> Pixels:
        if threading.current_thread().name == "first":
            first_is_inside.set()
            second_is_inside.wait(5)
        else:
            second_is_inside.set()
            first_is_done.wait(5)
        return to_pixels(image, *options)

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
