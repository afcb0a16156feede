"""Operations of Core ML programs against PyTorch's own layers, without coremltools."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch.nn import functional

from bestiary.exporting.coreml_operations import OPERATIONS, UnknownOperationError, split

IMAGE = torch.randn((2, 4, 9, 7), generator=torch.Generator().manual_seed(0))
KERNEL = torch.randn((6, 2, 3, 3), generator=torch.Generator().manual_seed(1))
# name -> operation, its inputs, and the same by PyTorch
SAME: dict[str, tuple[str, dict[str, Any], Callable[[], torch.Tensor]]] = {
    "convolution": (
        "conv",
        {"weight": KERNEL, "strides": [2, 1], "dilations": [1, 2], "groups": 2}
        | {"pad_type": "custom", "pad": [1, 1, 2, 2]},
        lambda: functional.conv2d(IMAGE, KERNEL, None, (2, 1), (1, 2), (1, 2), 2),
    ),
    "mean of a pool without its padding": (
        "avg_pool",
        {"kernel_sizes": [3, 3], "strides": [2, 2], "exclude_padding_from_average": True}
        | {"pad_type": "custom", "pad": [1, 1, 1, 1]},
        lambda: functional.avg_pool2d(IMAGE, 3, 2, 1, count_include_pad=False),
    ),
    "largest of a pool": (
        "max_pool",
        {"kernel_sizes": [3, 2], "strides": [2, 2], "pad_type": "custom", "pad": [1, 1, 1, 1]},
        lambda: functional.max_pool2d(IMAGE, (3, 2), 2, 1),
    ),
    "a pool whose size need not be rounded": (
        "max_pool",
        {"kernel_sizes": [3, 3], "strides": [2, 2], "ceil_mode": True},
        lambda: functional.max_pool2d(IMAGE, 3, 2),
    ),
    "normalized layers": (
        "layer_norm",
        {"axes": [-1], "gamma": torch.arange(7.0), "beta": torch.ones(7), "epsilon": 1e-6},
        lambda: functional.layer_norm(IMAGE, (7,), torch.arange(7.0), torch.ones(7), 1e-6),
    ),
    "slices, one backwards": (
        "slice_by_index",
        {"begin": [0, 1, 0, -1], "end": [1, 3, 0, 0], "stride": [1, 1, 2, -1]}
        | {"begin_mask": [False] * 4, "end_mask": [False, False, True, True]}
        | {"squeeze_mask": [True, False, False, False]},
        lambda: IMAGE[0, 1:3, ::2].flip(2),
    ),
    "rows that are picked": (
        "gather",
        {"indices": [[2, 0]], "axis": -1},
        lambda: IMAGE[..., [[2, 0]]],
    ),
    "a shape with a zero": ("reshape", {"shape": [0, -1]}, lambda: IMAGE.flatten(1)),
    "twice the size": (
        "upsample_bilinear",
        {"scale_factor_height": 2.0, "scale_factor_width": 2.0}
        | {"align_corners": False, "half_pixel_centers": True},
        lambda: functional.interpolate(IMAGE, scale_factor=2, mode="bilinear"),
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_operation_is_that_of_pytorch(name: str) -> None:
    kind, given, expected = SAME[name]
    torch.testing.assert_close(OPERATIONS[kind]({"x": IMAGE} | given), expected())


def test_same_padding_keeps_the_length() -> None:
    """As TensorFlow's: the odd pixel comes last, or first in `same_lower`."""
    line = torch.arange(1.0, 6).reshape(1, 1, 1, 5)
    given = {"x": line, "weight": torch.ones((1, 1, 1, 2)), "strides": [1, 1]}
    same = OPERATIONS["conv"](given | {"pad_type": "same"})
    lower = OPERATIONS["conv"](given | {"pad_type": "same_lower"})
    assert same.flatten().tolist() == [3, 5, 7, 9, 5]
    assert lower.flatten().tolist() == [1, 3, 5, 7, 9]


def test_parts_of_a_split() -> None:
    parts = split({"x": IMAGE, "axis": 2, "num_splits": 3})
    assert [tuple(part.shape) for part in parts] == [(2, 4, 3, 7)] * 3
    parts = split({"x": IMAGE, "axis": 1, "split_sizes": [1, 3]})
    torch.testing.assert_close(parts[1], IMAGE[:, 1:])


@pytest.mark.parametrize(
    ("kind", "given"),
    [
        ("gelu", {"mode": "SIGMOID_APPROXIMATION"}),
        ("pad", {"mode": "reflect", "pad": [1, 1]}),
        ("avg_pool", {"kernel_sizes": [2, 2], "strides": [2, 2], "ceil_mode": True}),
        ("upsample_bilinear", {"scale_factor_height": 2, "scale_factor_width": 2}),
    ],
)
def test_unknown_variant_is_refused(kind: str, given: dict[str, Any]) -> None:
    with pytest.raises(UnknownOperationError):
        OPERATIONS[kind]({"x": IMAGE} | given)
