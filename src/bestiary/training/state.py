"""What a fold's loop works with: network, optimizer and accelerator, fresh or as a checkpoint
left them.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray
from timm.layers import convert_sync_batchnorm
from timm.utils import ModelEmaV3
from torch import nn

from bestiary.errors import RunError
from bestiary.model.classifier import Classifier, build_classifier, save_member
from bestiary.model.compute import ComputeConfig
from bestiary.model.freezing import freeze
from bestiary.recipe.options import TrackOptions
from bestiary.rng import keyed_rng
from bestiary.run.layout import FoldFiles
from bestiary.training.checkpoint import Progress, read_state
from bestiary.training.dataset import TrainingSet
from bestiary.training.distributed import World
from bestiary.training.lda_head import fit_head
from bestiary.training.optimizer import build_optimizer
from bestiary.training.weight_averaging import ema_of

Features = Callable[[], NDArray[np.float32]]  # of every image of the run, from the frozen network


@dataclass(frozen=True, slots=True)
class FoldState:
    """One fold in the making.

    Attributes:
        accelerator: of the Accelerate library: device, mixed precision, trackers.
        classifier: the network with its normalization.
        network: the same, as the accelerator wraps it and compiled where that pays.
        average: a moving average of the classifier, its norms' statistics included, where the
            recipe asks for it.
        optimizer: as the accelerator wraps it.
        arithmetic: how the network is computed.
        features: gives the frozen network's features of every image.
        progress: epochs done and the best of them.
        world: the processes that train the fold together.
    """

    accelerator: Accelerator
    classifier: Classifier
    network: nn.Module
    average: ModelEmaV3 | None
    optimizer: torch.optim.Optimizer
    arithmetic: ComputeConfig
    features: Features
    progress: Progress
    world: World

    @property
    def device(self) -> torch.device:
        """Where the network computes."""
        return torch.device(self.accelerator.device)

    @property
    def member(self) -> Classifier:
        """What predicts and is kept: the average of the weights, or the weights as they are."""
        return self.classifier if self.average is None else cast(Classifier, self.average.module)

    def follow(self, steps: int) -> None:
        """Move the average towards the weights as they are after so many `steps` of the fold."""
        if self.average is not None:
            self.average.update(self.classifier, steps)

    @property
    def scaler_state(self) -> dict[str, Any]:
        """State of fp16's gradient scaler; empty for other precisions."""
        scaler = self.accelerator.scaler
        return scaler.state_dict() if scaler is not None else {}

    def log(self, epoch: int, numbers: dict[str, float]) -> None:
        """Give an epoch's numbers to the trackers; what they cannot keep must not stop the
        training.
        """
        with suppress(OSError):
            self.accelerator.log(numbers, step=epoch)

    def end_logging(self) -> None:
        """Give the trackers' files back."""
        with suppress(OSError):  # Accelerator.end_training would end the processes' ties too
            for tracker in self.accelerator.trackers:
                tracker.finish()


def build_fold_state(
    data: TrainingSet,
    fold: int,
    files: FoldFiles,
    features: Features,
    arithmetic: ComputeConfig,
    notice: Callable[[str], None],
) -> FoldState:
    """Build everything for one fold and fill it from its last good state, if there is one;
    `notice` shows a line.
    """
    recipe, precision, world = data.recipe, arithmetic.precision, data.world
    # Accelerate keeps one precision for the whole process; folds and runs of one process may differ
    # in it.
    AcceleratorState._reset_state()
    accelerator = Accelerator(
        mixed_precision="no" if precision == "float32" else precision,
        log_with=["tensorboard", *recipe.track.to],
        project_dir=files.folder,
    )
    torch.manual_seed(step_seed(recipe.train.seed, fold, 0, 0))  # for the new head
    with world.synchronized():
        _begin_logging(accelerator, files, recipe.track)
        state = read_state(files, notice)
        classifier = build_classifier(
            recipe.model.backbone,
            len(data.classes),
            "none" if state else recipe.model.weights,
            recipe.model.normalize,
            recipe.model.power_norm,
        )
    _check_same_disk(world, files, state is not None)
    if recipe.model.head == "lda" and not state:
        train_rows, _ = data.rows(fold)
        vectors = features()
        if world.is_main:
            fit_head(
                classifier,
                vectors[train_rows],
                data.labels[train_rows],
                recipe.loss.logit_adjustment,
                recipe.model.head_tau_norm,
            )
        classifier.head_layer.load_state_dict(
            world.broadcast_object(classifier.head_layer.state_dict())
        )
    freeze(classifier, recipe.model)
    if world.size > 1 and accelerator.device.type == "cuda" and not recipe.model.freeze_norms:
        classifier = convert_sync_batchnorm(classifier)
    with world.synchronized() as main:
        if main and recipe.train.wise_ft and not state:
            save_member(classifier, files.initial)
    classifier.to(memory_format=arithmetic.memory_format)
    average = ema_of(classifier, recipe.train.ema)
    network, optimizer = accelerator.prepare(
        classifier, build_optimizer(classifier, recipe.optimizer)
    )
    progress = state.progress if state else Progress()
    if state:
        state.restore(classifier, average, optimizer)
        progress.losses = [loss.to(accelerator.device) for loss in progress.losses]
        if accelerator.scaler is not None and state.scaler:
            accelerator.scaler.load_state_dict(state.scaler)
    if arithmetic.compiled:
        network = torch.compile(
            network
        )  # the classifier shares its parameters, and is not compiled for predicting
    return FoldState(
        accelerator, classifier, network, average, optimizer, arithmetic, features, progress, world
    )


def _begin_logging(accelerator: Accelerator, files: FoldFiles, options: TrackOptions) -> None:
    try:
        accelerator.init_trackers("tensorboard" if not options.to else options.project)
    except OSError as error:
        raise RunError(
            f"{files.folder}: cannot be written ({error.strerror}); free space, then --resume"
        ) from None


def _check_same_disk(world: World, files: FoldFiles, found: bool) -> None:
    """Whether all processes have found the fold's state, or none has."""
    if len(set(world.all_gather(found))) > 1:
        raise RunError(
            f"{files.state}: is not seen by all processes; choose a folder that all machines share"
        )


def step_seed(seed: int, fold: int, epoch: int, step: int, rank: int = 0) -> int:
    """The seed of PyTorch's own generators for one step of the process `rank`."""
    return int(
        keyed_rng(seed, f"torch-{rank}" if rank else "torch", fold, epoch, step).integers(1 << 62)
    )
