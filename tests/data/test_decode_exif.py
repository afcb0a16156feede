"""Decoding: EXIF orientation is undone as in Pillow; damaged EXIF does not warn."""

import warnings
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from bestiary.data.decode import Pixels, decode
from bestiary.data.image_info import inspect_image

Encode = Callable[..., bytes]
Psnr = Callable[..., float]
ByPillow = Callable[[bytes], Pixels]
ExifOf = Callable[[int], bytes]


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_exif_orientation_is_undone_as_in_pillow(
    smooth: Pixels,
    encode: Encode,
    kind: str,
    orientation: int,
    by_pillow: ByPillow,
    exif_of: ExifOf,
) -> None:
    content = encode(smooth, kind, exif=exif_of(orientation))
    pixels = decode(content)
    assert pixels.shape[:2] == (smooth.shape[:2] if orientation < 5 else smooth.shape[1::-1])
    np.testing.assert_array_equal(pixels, by_pillow(content))
    assert pixels.flags.c_contiguous


@pytest.mark.parametrize("orientation", range(1, 9))
def test_scaled_decode_applies_exif(
    smooth: Pixels,
    encode: Encode,
    psnr: Psnr,
    orientation: int,
    by_pillow: ByPillow,
    exif_of: ExifOf,
) -> None:
    content = encode(smooth, exif=exif_of(orientation), quality=95)
    small = decode(content, min_side=100)
    full = by_pillow(content)
    assert small.shape[0] < full.shape[0] and small.shape[1] < full.shape[1]
    shrunk = Image.fromarray(full).resize(small.shape[1::-1], Image.Resampling.BOX)
    assert psnr(small, np.asarray(shrunk)) > 35


def test_late_exif_is_found(
    smooth: Pixels, encode: Encode, by_pillow: ByPillow, exif_of: ExifOf
) -> None:
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
def test_damaged_exif_does_not_warn(
    smooth: Pixels, encode: Encode, exif: bytes, by_pillow: ByPillow
) -> None:
    content = encode(smooth, exif=exif)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected = by_pillow(content)
    np.testing.assert_array_equal(decode(content), expected)  # a warning would be an error here


@pytest.mark.parametrize("exif", [b"Exif\0\0XX\0\x2agarbage", b"Exif\0\0II*\0\x08"])
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_damaged_exif_hides_no_other_fact(
    smooth: Pixels, encode: Encode, kind: str, exif: bytes
) -> None:
    pixels = np.dstack([smooth, smooth[..., :1]])  # an image that is partly transparent
    info = inspect_image(encode(pixels, kind, exif=exif), "")
    assert (info.format, info.mode, info.taken) == (kind, "transparent", 0)
