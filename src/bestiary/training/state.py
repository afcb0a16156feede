"""Fold state: network, EMA, optimizer and progress of a fold in training.

Does not know how they are built (`bestiary.training.fold_setup`) or saved
(`bestiary.training.checkpoint`).
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from accelerate import Accelerator
from torch import nn

from bestiary.model.classifier import Classifier
from bestiary.model.compute import ComputeConfig
from bestiary.model.lora import merged
from bestiary.rng import keyed_rng
from bestiary.training.checkpoint import Progress
from bestiary.training.distributed import World
from bestiary.training.tracking.tracker import Trackers

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3  # timm is slow to import, and few networks need it


@dataclass(frozen=True, slots=True)
class FoldState:
    """The objects that the training loop of one fold works with.

    Attributes:
        accelerator: of the Accelerate library: device and mixed precision.
        classifier: the network with its normalization.
        network: the classifier as the accelerator wraps it, compiled where that pays.
        average: EMA of the classifier's weights and buffers; None if the recipe turns it off.
        optimizer: as the accelerator wraps it.
        compute: precision, memory layout, compilation and threads.
        progress: epochs and steps done, and the best epoch.
        world: ranks that train the fold together.
        trackers: of the fold; rank 0 alone has any.
    """

    accelerator: Accelerator
    classifier: Classifier
    network: nn.Module
    average: "ModelEmaV3 | None"
    optimizer: torch.optim.Optimizer
    compute: ComputeConfig
    progress: Progress
    world: World
    trackers: Trackers

    @property
    def device(self) -> torch.device:
        """Device of the network."""
        return torch.device(self.accelerator.device)

    @property
    def member(self) -> Classifier:
        """The network that predicts: the EMA if there is one, else the classifier.

        Adapters are merged into a copy.
        """
        if self.average is None:
            return merged(self.classifier)
        return merged(cast(Classifier, self.average.module))

    def update_average(self, steps_done: int) -> None:
        """Update the EMA, if there is one, after `steps_done` steps of the fold."""
        if self.average is not None:
            self.average.update(self.classifier, steps_done)

    @property
    def scaler_state(self) -> dict[str, Any]:
        """State of fp16's gradient scaler; empty for other precisions."""
        scaler = self.accelerator.scaler
        if scaler is None:
            return {}
        return dict(scaler.state_dict())


def step_seed(seed: int, fold: int, epoch: int, step: int, rank: int = 0) -> int:
    """Derive the seed of PyTorch's own generators for one training step.

    Args:
        seed: seed of the run.
        fold: number of the fold.
        epoch: epochs done.
        step: steps done in this epoch.
        rank: rank of this process; each draws its own dropout.

    Returns:
        A seed for `torch.manual_seed`.
    """
    purpose = f"torch-{rank}" if rank else "torch"
    rng = keyed_rng(seed, purpose, fold, epoch, step)
    return int(rng.integers(1 << 62))
