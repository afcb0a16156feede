"""Test-time augmentation (TTA): average a network's outputs over several views of each image.

Crops and flips: Krizhevsky, Sutskever and Hinton 2012 (doi:10.1145/3065386). The five views were
chosen by their out-of-fold gain (benchmarks/accuracy/views_at_test.py): the whole image and its
four corners, in the image's own detail. All are slices and one resize of a single view, slightly
larger than the network's input, so an exported graph can make them too. Knows nothing of images on
disk.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.model.engine import BuiltNetwork, Network
from bestiary.model.transfer import send
from bestiary.recipe.choices import TtaViews

# Shrinking 256 to 224 pixels gives multiples of 1/196, halves among them. Float noise would round
# halves up or down, and a graph in another engine would see other views than the network. The
# shift keeps most values clear of the halves.
_ROUNDING_SHIFT = 1 / 512
# Views that a network computes at once on a CPU: enough to keep all cores busy, at no more memory
# than a batch of images takes. A GPU needs more: each launch of a kernel costs as much for few.
MAX_VIEWS = 32
MAX_VIEWS_ON_GPU = 256
CORNER_CROP_RATIO = 0.875  # of both sides that a corner crop keeps: 224 of 256 pixels


def input_side(size: int, n_views: TtaViews) -> int:
    """Return the side of the view that `tta_views` needs.

    Args:
        size: side of the network's input in pixels.
        n_views: 1, 2 or 5.

    Returns:
        The side in pixels; larger than `size` for 5 views.
    """
    return round(size / CORNER_CROP_RATIO) if n_views == 5 else size


def tta_views(views: torch.Tensor, n_views: TtaViews) -> list[torch.Tensor]:
    """Make the views of each image.

    Args:
        views: uint8 (n, side, side, 3), with the side from `input_side`.
        n_views: 1 the view itself; 2 its horizontal flip too; 5 the whole image, shrunk, and the
            four corners. Top right and bottom left are flipped, so both orientations come twice.

    Returns:
        `n_views` tensors uint8 (n, size, size, 3).
    """
    if n_views == 1:
        return [views]
    if n_views == 2:
        return [views, views.flip(2)]
    size = round(views.shape[1] * CORNER_CROP_RATIO)
    return [
        first_view(views, n_views),
        views[:, :size, :size].contiguous(),
        views[:, :size, -size:].flip(2),
        views[:, -size:, :size].flip(2),
        views[:, -size:, -size:].contiguous(),
    ]


def first_view(views: torch.Tensor, n_views: TtaViews) -> torch.Tensor:
    """Make the first of the views of each image: the whole image.

    Args:
        views: uint8 (n, side, side, 3), with the side from `input_side`.
        n_views: 1, 2 or 5.

    Returns:
        uint8 (n, size, size, 3).
    """
    if n_views != 5:
        return views
    return _shrink(views, round(views.shape[1] * CORNER_CROP_RATIO))


def _shrink(views: torch.Tensor, size: int) -> torch.Tensor:
    images = views.permute(0, 3, 1, 2).float()
    small = functional.interpolate(images, (size, size), mode="bilinear")
    rounded = (small + _ROUNDING_SHIFT).round().to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).contiguous()


def images_at_once(n_views: TtaViews, device: torch.device) -> int:
    """Choose how many images are predicted together.

    Args:
        n_views: views of each image.
        device: where the network computes.

    Returns:
        32 on a CPU; on a GPU as many as give `MAX_VIEWS_ON_GPU` views, but not fewer than 32.

    Example:
        >>> images_at_once(5, torch.device("cuda"))
        51
    """
    if device.type == "cpu":
        return MAX_VIEWS
    return max(MAX_VIEWS, MAX_VIEWS_ON_GPU // n_views)


def averaged_over_views(
    network: BuiltNetwork, n_views: TtaViews, *, keeps_first: bool = False
) -> Network:
    """Average a network's outputs over the views of each image, where the network computes.

    A GPU gets each batch in one copy, makes the views itself, computes them in one call, and gives
    their mean back in one copy.

    Args:
        network: as built.
        n_views: 1, 2 or 5.
        keeps_first: whether the outputs of the first view are returned too.

    Returns:
        The network that takes views with the side from `input_side`, and returns the mean
        (n, ...); with `keeps_first` the mean and the first view's (n, 2, ...).
    """
    compute = network.on_device
    if compute is None or network.device.type == "cpu":
        return with_tta(network.run, n_views, keeps_first=keeps_first)

    @torch.inference_mode()
    def average(views: torch.Tensor) -> NDArray[np.float32]:
        inputs = tta_views(send(views, network.device), n_views)
        outputs = compute(torch.cat(inputs))
        by_view = outputs.reshape(n_views, len(views), *outputs.shape[1:])
        mean = by_view.mean(dim=0)
        result = torch.stack([mean, by_view[0]], dim=1) if keeps_first else mean
        return result.cpu().numpy()

    return average


def of_first_view(network: BuiltNetwork, n_views: TtaViews) -> Network:
    """Compute a network's outputs for the first view of each image alone.

    Args:
        network: as built.
        n_views: 1, 2 or 5.

    Returns:
        The network that takes views with the side from `input_side`.
    """
    compute = network.on_device
    if compute is None or network.device.type == "cpu":
        return lambda views: network.run(first_view(views, n_views))

    @torch.inference_mode()
    def run(views: torch.Tensor) -> NDArray[np.float32]:
        return compute(first_view(send(views, network.device), n_views)).cpu().numpy()

    return run


def with_tta(run: Network, n_views: TtaViews, *, keeps_first: bool = False) -> Network:
    """Wrap a network so that its outputs are averaged over the views of each image.

    Args:
        run: views -> outputs.
        n_views: 1, 2 or 5.
        keeps_first: whether the outputs of the first view are returned too.

    Returns:
        The network that takes views with the side from `input_side`, and returns what
        `averaged_over_views` does.
    """
    if n_views == 1 and not keeps_first:
        return run

    def average(views: torch.Tensor) -> NDArray[np.float32]:
        inputs = tta_views(views, n_views)
        at_once = max(1, MAX_VIEWS // max(1, len(views)))  # views of each image
        outputs: list[NDArray[np.float32]] = []
        for start in range(0, n_views, at_once):
            some = inputs[start : start + at_once]
            together = run(torch.cat(some) if len(some) > 1 else some[0])
            outputs += np.split(together, len(some))
        mean = sum(outputs[1:], outputs[0]) / np.float32(n_views)
        return np.stack([mean, outputs[0]], axis=1) if keeps_first else mean

    return average
