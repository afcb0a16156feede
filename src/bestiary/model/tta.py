"""Views -> the views of the same images whose outputs are averaged at test time.

Crops and mirror images: Krizhevsky, Sutskever and Hinton 2012 (doi:10.1145/3065386). Which five was
chosen by what they gain out of fold (benchmarks/bench_views_at_test.py): the whole and its four
corners, the corners in the detail that the image has, beat crops of what the network sees anyway.
All are slices and one resizing of a single view, which is a little larger than what the network
takes, so that a graph can make them too. Knows nothing of images on disk.
"""

from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.model.engine import Network

TtaViews = Literal[1, 2, 5]
# Shrinking 256 to 224 pixels gives multiples of 1/196, halves among them, which float noise would
# round now up, now down: a graph in another engine saw other views than the network. The shift
# keeps most of them clear of the edge.
_TIE = 1 / 512
SHARE = 0.875  # of both sides that a corner keeps: 224 of 256 pixels


def input_side(size: int, number: TtaViews) -> int:
    """Side in pixels of the view that `tta_views` makes `number` views of `size` pixels from."""
    return round(size / SHARE) if number == 5 else size


def tta_views(views: torch.Tensor, number: TtaViews) -> list[torch.Tensor]:
    """The `number` views of each image.

    Args:
        views: uint8 (n, side, side, 3), with the side that `input_side` says.
        number: 1 the view itself; 2 its mirror image too; 5 the whole, shrunk, and the four
            corners, of which top right and bottom left are mirrored, so that either way of looking
            is there twice.

    Returns:
        `number` tensors uint8 (n, size, size, 3).
    """
    if number == 1:
        return [views]
    if number == 2:
        return [views, views.flip(2)]
    size = round(views.shape[1] * SHARE)
    whole = functional.interpolate(views.permute(0, 3, 1, 2).float(), (size, size), mode="bilinear")
    return [
        (whole + _TIE).round().to(torch.uint8).permute(0, 2, 3, 1).contiguous(),
        views[:, :size, :size].contiguous(),
        views[:, :size, -size:].flip(2),
        views[:, -size:, :size].flip(2),
        views[:, -size:, -size:].contiguous(),
    ]


def with_tta(run: Network, number: TtaViews) -> Network:
    """The average of a network's outputs over `number` views of each image."""

    def mean(views: torch.Tensor) -> NDArray[np.float32]:
        outputs = [run(view) for view in tta_views(views, number)]
        return sum(outputs[1:], outputs[0]) / np.float32(number)

    return run if number == 1 else mean
