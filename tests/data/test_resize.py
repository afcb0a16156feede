"""Shrinking an image: torchvision's pixels from any memory layout, channels side by side."""

import numpy as np
import pytest
import torch
from torchvision.transforms.v2 import functional

from bestiary.data.decode import Pixels
from bestiary.data.resize import resize


def read_only(pixels: Pixels) -> Pixels:
    pixels.flags.writeable = False
    return pixels


LAYOUTS = {
    "whole": lambda pixels: pixels.copy(),
    "crop": lambda pixels: pixels.copy()[3:, 5:],
    "mirrored": lambda pixels: pixels.copy()[:, ::-1],
    "read-only": lambda pixels: read_only(pixels.copy()),
    "one column": lambda pixels: pixels.copy()[:, :1],
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_shrunk_pixels_equal_torchvision(smooth: Pixels, layout: str) -> None:
    pixels = LAYOUTS[layout](smooth)
    size = [max(1, side // 3) for side in pixels.shape[:2]]
    shrunk = resize(pixels, *size)
    plain = torch.from_numpy(pixels.copy()).permute(2, 0, 1).contiguous()
    expected = functional.resize(plain, size, antialias=True)
    np.testing.assert_array_equal(shrunk, expected.permute(1, 2, 0).numpy())
    assert shrunk.flags.c_contiguous  # a copy would cost as much as the shrinking
