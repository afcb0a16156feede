"""A training view -> the same view changed in color and shape: RandAugment and TrivialAugment.

The operation and its strength are drawn here, from the image's own generator, so that a view
depends on nothing but its seed; the pixels are changed by torchvision's functional operations.
Magnitudes are torchvision's (31 bins, sign drawn where an operation has one).

RandAugment: Cubuk et al. 2020, arXiv:1909.13719. TrivialAugment, wide: Müller and Hutter 2021,
arXiv:2103.10158.
"""

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import torch
from torchvision.transforms.v2 import functional as ops

from bestiary.data.decode import Pixels

if TYPE_CHECKING:
    from collections.abc import Callable

Augment = Literal["none", "randaugment", "trivialaugment"]
BINS = 31
RANDAUGMENT_OPERATIONS, RANDAUGMENT_BIN = 2, 9  # the paper's N and M for ImageNet


class Change(NamedTuple):
    """One operation with its strength; `magnitude` is 0 for operations that have none."""

    operation: str
    magnitude: float


class _Range(NamedTuple):
    low: float
    high: float
    signed: bool


_PLAIN = ("Identity", "AutoContrast", "Equalize")
_COLOR = ("Brightness", "Color", "Contrast", "Sharpness")


def _ranges(kind: Augment, height: int, width: int) -> dict[str, _Range]:
    wide = kind == "trivialaugment"
    shift_x, shift_y = (32.0, 32.0) if wide else (150 / 331 * width, 150 / 331 * height)
    shear, turn, color, bits = (0.99, 135.0, 0.99, 2.0) if wide else (0.3, 30.0, 0.9, 4.0)
    return {
        "ShearX": _Range(0, shear, True),
        "ShearY": _Range(0, shear, True),
        "TranslateX": _Range(0, shift_x, True),
        "TranslateY": _Range(0, shift_y, True),
        "Rotate": _Range(0, turn, True),
        **{name: _Range(0, color, True) for name in _COLOR},
        "Posterize": _Range(8, bits, False),
        "Solarize": _Range(1, 0, False),
    }


def draw_changes(kind: Augment, height: int, width: int, rng: np.random.Generator) -> list[Change]:
    """Draw what is to be done to a view of `height` x `width` pixels."""
    if kind == "none":
        return []
    ranges = _ranges(kind, height, width)
    names = [*_PLAIN, *ranges]
    changes = []
    for _ in range(1 if kind == "trivialaugment" else RANDAUGMENT_OPERATIONS):
        name = names[int(rng.integers(len(names)))]
        if name in _PLAIN:
            changes.append(Change(name, 0.0))
            continue
        low, high, signed = ranges[name]
        step = int(rng.integers(BINS)) if kind == "trivialaugment" else RANDAUGMENT_BIN
        magnitude = low + (high - low) * step / (BINS - 1)
        if name == "Posterize":
            magnitude = float(round(magnitude))
        changes.append(Change(name, -magnitude if signed and rng.random() <= 0.5 else magnitude))
    return changes


def apply_change(view: torch.Tensor, change: Change) -> torch.Tensor:
    """Apply one operation to a uint8 view (3, height, width)."""
    name, magnitude = change
    if name in _SHAPE:
        angle, translate, shear, center = _SHAPE[name](magnitude)
        return _tensor(
            ops.affine(
                view, angle=angle, translate=translate, scale=1.0, shear=shear, center=center
            )
        )
    if name == "Rotate":
        return _tensor(ops.rotate(view, angle=magnitude))
    return _COLOR_OPERATIONS[name](view, magnitude)


def _tensor(result: object) -> torch.Tensor:
    assert isinstance(result, torch.Tensor)  # torchvision's operations carry no types
    return result


def augment(view: Pixels, kind: Augment, rng: np.random.Generator) -> Pixels:
    """A changed copy of `view`, uint8 (height, width, 3)."""
    tensor = torch.from_numpy(np.ascontiguousarray(view)).permute(2, 0, 1)
    for change in draw_changes(kind, view.shape[0], view.shape[1], rng):
        tensor = apply_change(tensor, change)
    return tensor.permute(1, 2, 0).numpy()


_Affine = tuple[float, list[int], list[float], list[float] | None]

_SHAPE: "dict[str, Callable[[float], _Affine]]" = {
    "ShearX": lambda m: (0.0, [0, 0], [math.degrees(math.atan(m)), 0.0], [0.0, 0.0]),
    "ShearY": lambda m: (0.0, [0, 0], [0.0, math.degrees(math.atan(m))], [0.0, 0.0]),
    "TranslateX": lambda m: (0.0, [int(m), 0], [0.0, 0.0], None),
    "TranslateY": lambda m: (0.0, [0, int(m)], [0.0, 0.0], None),
}

_COLOR_OPERATIONS: "dict[str, Callable[[torch.Tensor, float], torch.Tensor]]" = {
    "Identity": lambda view, m: view,
    "Brightness": lambda view, m: ops.adjust_brightness(view, 1.0 + m),
    "Color": lambda view, m: ops.adjust_saturation(view, 1.0 + m),
    "Contrast": lambda view, m: ops.adjust_contrast(view, 1.0 + m),
    "Sharpness": lambda view, m: ops.adjust_sharpness(view, 1.0 + m),
    "Posterize": lambda view, m: ops.posterize(view, bits=int(m)),
    "Solarize": lambda view, m: ops.solarize(view, threshold=255.0 * m),
    "AutoContrast": lambda view, m: ops.autocontrast(view),
    "Equalize": lambda view, m: ops.equalize(view),
}
