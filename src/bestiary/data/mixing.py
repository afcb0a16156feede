"""Mix a batch and its soft targets with itself: MixUp and CutMix.

One of the two is drawn for each batch. Partners are neighbors in the batch, which is shuffled.
torchvision's `MixUp` and `CutMix` do the same, and the tests compare against those. Knows nothing
of images on disk or of the training loop.

MixUp: Zhang et al. 2018, arXiv:1710.09412. CutMix: Yun et al. 2019, arXiv:1905.04899.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Mixing:
    """Draw MixUp, CutMix or neither for each batch.

    With both alphas above 0, MixUp and CutMix are drawn equally often.

    Attributes:
        probability: share of the batches that are mixed.
        mixup: alpha of MixUp's Beta distribution; 0 leaves MixUp out.
        cutmix: alpha of CutMix's Beta distribution; 0 leaves CutMix out.
    """

    probability: float
    mixup: float
    cutmix: float

    def __call__(
        self,
        images: torch.Tensor,
        targets: torch.Tensor,
        rng: np.random.Generator,
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix a batch, or return it as it is.

        Args:
            images: float (n, 3, height, width).
            targets: float (n, classes), soft.
            rng: the batch's own generator.

        Returns:
            Images and targets of the same shapes.
        """
        alphas = {
            "mixup": self.mixup,
            "cutmix": self.cutmix,
        }
        kinds = [kind for kind, alpha in alphas.items() if alpha > 0]
        if not kinds or rng.random() >= self.probability:
            return images, targets

        # Draw the kind and its strength.
        index = rng.integers(len(kinds))
        kind = kinds[int(index)]
        alpha = alphas[kind]
        keep = float(rng.beta(alpha, alpha))
        if kind == "mixup":
            return mixup(images, targets, keep)

        # Draw the center of CutMix's box.
        height, width = images.shape[-2:]
        x = int(rng.integers(width))
        y = int(rng.integers(height))
        box = cut_box(keep, x, y, width, height)
        return cutmix(images, targets, box)


def mixup(
    images: torch.Tensor,
    targets: torch.Tensor,
    keep: float,
) -> tuple[torch.Tensor, torch.Tensor]:
    """Blend each image and target with its neighbor.

    Args:
        images: float (n, 3, height, width).
        targets: float (n, classes).
        keep: weight of the image itself; the neighbor has 1 - `keep`.

    Returns:
        Images and targets of the same shapes.
    """
    mixed_images = _blend(images, keep)
    mixed_targets = _blend(targets, keep)
    return mixed_images, mixed_targets


def cutmix(
    images: torch.Tensor,
    targets: torch.Tensor,
    box: tuple[int, int, int, int],
) -> tuple[torch.Tensor, torch.Tensor]:
    """Paste the neighbor's pixels into a box, and that share of its target.

    Args:
        images: float (n, 3, height, width).
        targets: float (n, classes).
        box: left, top, right and bottom in pixels.

    Returns:
        Images and targets of the same shapes.
    """
    left, top, right, bottom = box
    mixed_images = images.clone()
    mixed_images[..., top:bottom, left:right] = images[..., top:bottom, left:right].roll(1, 0)

    height, width = images.shape[-2:]
    n_pasted = (right - left) * (bottom - top)
    keep = 1.0 - n_pasted / (width * height)
    mixed_targets = _blend(targets, keep)
    return mixed_images, mixed_targets


def cut_box(keep: float, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
    """Compute CutMix's box, which covers 1 - `keep` of the image before it is clipped.

    Args:
        keep: share of the image that stays.
        x: center of the box in pixels.
        y: center of the box in pixels.
        width: of the image in pixels.
        height: of the image in pixels.

    Returns:
        Left, top, right and bottom, clipped to the image.
    """
    half = 0.5 * math.sqrt(1.0 - keep)
    half_width = int(half * width)
    half_height = int(half * height)
    return (
        max(x - half_width, 0),
        max(y - half_height, 0),
        min(x + half_width, width),
        min(y + half_height, height),
    )


def _blend(values: torch.Tensor, keep: float) -> torch.Tensor:
    """Compute the weighted mean of each row and the row before it."""
    neighbors = values.roll(1, 0)
    neighbors.mul_(1.0 - keep)
    return neighbors.add_(values, alpha=keep)
