"""A batch and its soft targets -> the batch mixed with itself: MixUp and CutMix.

For each batch one of the two is drawn. Partners are neighbors in the batch (which is shuffled), as
in torchvision's `MixUp` and `CutMix`, against which this is tested.

MixUp: Zhang et al. 2018, arXiv:1710.09412. CutMix: Yun et al. 2019, arXiv:1905.04899.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch


@dataclass(frozen=True, slots=True)
class Mixing:
    """How batches are mixed.

    Attributes:
        probability: share of the batches that are mixed.
        mixup: alpha of MixUp's Beta distribution; 0 leaves MixUp out.
        cutmix: alpha of CutMix's Beta distribution; 0 leaves CutMix out.

    With both alphas above 0, each of the two is drawn half the time.
    """

    probability: float
    mixup: float
    cutmix: float

    def __call__(
        self, images: torch.Tensor, targets: torch.Tensor, rng: np.random.Generator
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Mix float `images` (n, 3, height, width) and soft `targets` (n, classes), or give them
        back as they are.
        """
        kinds = [
            name for name, alpha in (("mixup", self.mixup), ("cutmix", self.cutmix)) if alpha > 0
        ]
        if not kinds or rng.random() >= self.probability:
            return images, targets
        if kinds[int(rng.integers(len(kinds)))] == "mixup":
            return mixup(images, targets, float(rng.beta(self.mixup, self.mixup)))
        height, width = images.shape[-2:]
        keep = float(rng.beta(self.cutmix, self.cutmix))
        return cutmix(
            images,
            targets,
            cut_box(keep, int(rng.integers(width)), int(rng.integers(height)), width, height),
        )


def mixup(
    images: torch.Tensor, targets: torch.Tensor, keep: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each image and target becomes `keep` of itself and 1 - `keep` of its neighbor."""
    return _blend(images, keep), _blend(targets, keep)


def cutmix(
    images: torch.Tensor, targets: torch.Tensor, box: tuple[int, int, int, int]
) -> tuple[torch.Tensor, torch.Tensor]:
    """Each image gets its neighbor's pixels inside `box` (left, top, right, bottom) and that
    share of its target.
    """
    left, top, right, bottom = box
    height, width = images.shape[-2:]
    mixed = images.clone()
    mixed[..., top:bottom, left:right] = images.roll(1, 0)[..., top:bottom, left:right]
    return mixed, _blend(targets, 1.0 - (right - left) * (bottom - top) / (width * height))


def cut_box(keep: float, x: int, y: int, width: int, height: int) -> tuple[int, int, int, int]:
    """The box around (x, y) that covers 1 - `keep` of the image where it does not stick out of
    it.
    """
    half = 0.5 * math.sqrt(1.0 - keep)
    half_width, half_height = int(half * width), int(half * height)
    return (
        max(x - half_width, 0),
        max(y - half_height, 0),
        min(x + half_width, width),
        min(y + half_height, height),
    )


def _blend(values: torch.Tensor, keep: float) -> torch.Tensor:
    return values.roll(1, 0).mul_(1.0 - keep).add_(values, alpha=keep)
