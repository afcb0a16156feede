"""Decoding a JPEG at a smaller scale: faster, and never below the side asked for."""

from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from bestiary.data.decode import Pixels, decode

Encode = Callable[..., bytes]
Psnr = Callable[..., float]


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
