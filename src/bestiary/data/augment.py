"""Augment a training view in color and shape: RandAugment and TrivialAugment.

The operation and its magnitude are drawn here, from the image's own generator, so a view depends
on its seed alone. torchvision's functional operations change the pixels, or faster ones of the same
bits. Magnitudes are torchvision's: 31 bins, and a random sign where an operation has one. Knows
nothing of files, labels or batches.

RandAugment: Cubuk et al. 2020, arXiv:1909.13719. TrivialAugment, wide: Müller and Hutter 2021,
arXiv:2103.10158.
"""

import math
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.recipe.choices import Augment

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BINS = 31
# Of PIL's sharpness, times 13
_SMOOTHING: NDArray[np.float32] = np.array([[1, 1, 1], [1, 5, 1], [1, 1, 1]], np.float32)
# The paper's N and M for ImageNet.
RANDAUGMENT_OPERATIONS = 2
RANDAUGMENT_BIN = 9


@cache
def _ops() -> "ModuleType":
    """Import torchvision's operations. That takes a second, and prediction needs none of them."""
    return import_module("torchvision.transforms.v2.functional")


class Change(NamedTuple):
    """One operation with its magnitude, which is 0 for operations that have none."""

    operation: str
    magnitude: float


class _Range(NamedTuple):
    low: float
    high: float
    signed: bool


_PLAIN = ("Identity", "AutoContrast", "Equalize")
_COLOR = ("Brightness", "Color", "Contrast", "Sharpness")


def _ranges(kind: Augment, height: int, width: int) -> dict[str, _Range]:
    """Return each operation's range of magnitudes.

    Shear is a tangent, shift is in pixels, rotation is in degrees.
    """
    if kind == "trivialaugment":
        shift_x = 32.0
        shift_y = 32.0
        shear = 0.99
        rotation = 135.0
        color = 0.99
        bits = 2.0
    else:
        shift_x = 150 / 331 * width
        shift_y = 150 / 331 * height
        shear = 0.3
        rotation = 30.0
        color = 0.9
        bits = 4.0
    return {
        "ShearX": _Range(0, shear, True),
        "ShearY": _Range(0, shear, True),
        "TranslateX": _Range(0, shift_x, True),
        "TranslateY": _Range(0, shift_y, True),
        "Rotate": _Range(0, rotation, True),
        **{name: _Range(0, color, True) for name in _COLOR},
        "Posterize": _Range(8, bits, False),
        "Solarize": _Range(1, 0, False),
    }


def draw_changes(kind: Augment, height: int, width: int, rng: np.random.Generator) -> list[Change]:
    """Draw the operations of one view.

    Args:
        kind: none, randaugment (two operations) or trivialaugment (one).
        height: of the view in pixels.
        width: of the view in pixels.
        rng: the view's own generator.

    Returns:
        The operations in the order in which they are applied.
    """
    if kind == "none":
        return []
    ranges = _ranges(kind, height, width)
    n_operations = 1 if kind == "trivialaugment" else RANDAUGMENT_OPERATIONS
    return [_draw_change(kind, ranges, rng) for _ in range(n_operations)]


def _draw_change(
    kind: Augment,
    ranges: dict[str, _Range],
    rng: np.random.Generator,
) -> Change:
    """Draw one operation and its magnitude."""
    names = [*_PLAIN, *ranges]
    index = rng.integers(len(names))
    name = names[int(index)]
    if name in _PLAIN:
        return Change(name, 0.0)

    # RandAugment's magnitude is fixed, TrivialAugment's is drawn.
    low, high, signed = ranges[name]
    magnitude_bin = RANDAUGMENT_BIN
    if kind == "trivialaugment":
        magnitude_bin = int(rng.integers(BINS))
    magnitude = low + (high - low) * magnitude_bin / (BINS - 1)
    if name == "Posterize":
        magnitude = float(round(magnitude))

    # Draw the sign.
    if signed and rng.random() <= 0.5:
        magnitude = -magnitude
    return Change(name, magnitude)


def apply_change(view: torch.Tensor, change: Change) -> torch.Tensor:
    """Apply one operation.

    Args:
        view: uint8 (3, height, width).
        change: the operation and its magnitude.

    Returns:
        uint8 (3, height, width).
    """
    name, magnitude = change
    if name in _MAPS:
        return _sample_nearest(view, _MAPS[name](magnitude, *view.shape[1:]))
    return _COLOR_OPERATIONS[name](view, magnitude)


def augment(view: Pixels, kind: Augment, rng: np.random.Generator) -> Pixels:
    """Augment a copy of a view.

    Args:
        view: uint8 (height, width, 3).
        kind: none, randaugment or trivialaugment.
        rng: the view's own generator.

    Returns:
        uint8 (height, width, 3).
    """
    height, width = view.shape[:2]
    contiguous = np.ascontiguousarray(view)  # torch accepts no negative strides
    tensor = torch.from_numpy(contiguous).permute(2, 0, 1)
    for change in draw_changes(kind, height, width, rng):
        tensor = apply_change(tensor, change)
    return tensor.permute(1, 2, 0).numpy()


def _adjust_sharpness(view: torch.Tensor, factor: float) -> torch.Tensor:
    """Blend a view with its smoothed self: torchvision's bits in a tenth of its time.

    torchvision convolves floats. Here OpenCV adds up whole numbers, which is exact.
    """
    if min(view.shape[1:]) <= 2:
        return view
    pixels = np.ascontiguousarray(view.permute(1, 2, 0).numpy())
    sums = torch.from_numpy(cv2.filter2D(pixels, cv2.CV_32F, _SMOOTHING))
    smooth = sums[1:-1, 1:-1].div(13).round_()
    sharpened = torch.from_numpy(pixels).float()
    inner = sharpened[1:-1, 1:-1]
    inner.add_(smooth.sub_(inner), alpha=1.0 - factor)
    return sharpened.clamp_(0, 255).to(torch.uint8).permute(2, 0, 1)


def _sample_nearest(view: torch.Tensor, affine: "_Affine") -> torch.Tensor:
    """Sample a view at the nearest pixels: torchvision's bits in a third of its time.

    torchvision samples floats, in threads of its own. Here OpenCV copies bytes. The places are the
    results of the same float32 operations.
    """
    height, width = view.shape[1:]
    x = np.arange(width, dtype=np.float32) + np.float32((1 - width) / 2)
    y = np.arange(height, dtype=np.float32)[:, None] + np.float32((1 - height) / 2)
    places = np.empty((height, width, 2), np.int16)
    for axis, side in enumerate((width, height)):
        along_x, along_y, shift = np.asarray(affine[axis], np.float32) / np.float32(side / 2)
        place = x * along_x + y * along_y + shift + np.float32(1)  # 0 to 2 in the view
        places[..., axis] = np.rint(place * np.float32(side / 2) - np.float32(0.5))
    pixels = np.ascontiguousarray(view.permute(1, 2, 0).numpy())
    moved = cv2.remap(
        pixels, places, np.empty(0), cv2.INTER_NEAREST, borderMode=cv2.BORDER_CONSTANT
    )
    return torch.from_numpy(moved).permute(2, 0, 1)


_Row = tuple[float, float, float]
_Affine = tuple[_Row, _Row]
"""From a point of the result to one of the view, both (x, y, 1) from the middle in pixels."""


def _rotation(degrees: float, height: int, width: int) -> _Affine:
    angle = math.radians(-(degrees % 360))
    cos = math.cos(angle)
    sin = math.sin(angle)
    return (cos, sin, 0.0), (-sin, cos, 0.0)


# Magnitude, height and width -> map. Shears keep the upper left corner.
_MAPS: "dict[str, Callable[[float, int, int], _Affine]]" = {
    "ShearX": lambda m, h, w: ((1.0, m, m * h / 2), (0.0, 1.0, 0.0)),
    "ShearY": lambda m, h, w: ((1.0, 0.0, 0.0), (m, 1.0, m * w / 2)),
    "TranslateX": lambda m, h, w: ((1.0, 0.0, -int(m)), (0.0, 1.0, 0.0)),
    "TranslateY": lambda m, h, w: ((1.0, 0.0, 0.0), (0.0, 1.0, -int(m))),
    "Rotate": _rotation,
}

_COLOR_OPERATIONS: "dict[str, Callable[[torch.Tensor, float], torch.Tensor]]" = {
    "Identity": lambda view, m: view,
    "Brightness": lambda view, m: _ops().adjust_brightness(view, 1.0 + m),
    "Color": lambda view, m: _ops().adjust_saturation(view, 1.0 + m),
    "Contrast": lambda view, m: _ops().adjust_contrast(view, 1.0 + m),
    "Sharpness": lambda view, m: _adjust_sharpness(view, 1.0 + m),
    "Posterize": lambda view, m: _ops().posterize(view, bits=int(m)),
    "Solarize": lambda view, m: _ops().solarize(view, threshold=255.0 * m),
    # Its minima and maxima are four times as fast over channels that lie apart.
    "AutoContrast": lambda view, m: _ops().autocontrast(view.contiguous()),
    "Equalize": lambda view, m: _ops().equalize(view),
}
