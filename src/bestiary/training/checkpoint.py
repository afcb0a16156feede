"""Checkpoint files: the state of a fold in training <-> two safetensors files, without pickle.

The two files are the last checkpoint and the one before it. Each holds the tensors of network, EMA
and optimizer, the state of fp16's gradient scaler, and the progress. Every random draw is a
function of (seed, fold, epoch, step), so a checkpoint holds no generators: the position inside the
epoch is all that the loader, the views and the mixing need.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bestiary.errors import DamagedError, RunError, one_line
from bestiary.model.backbone import nearest_interpolation
from bestiary.model.classifier import Classifier
from bestiary.model.tensor_file import read_tensors, write_tensors
from bestiary.run.layout import FoldFiles

Tensors = dict[str, torch.Tensor]


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of history.csv.

    Attributes:
        epoch: epochs done, from 1.
        lr: learning rate of the epoch's last step.
        train_loss: mean over the steps, mixed targets included.
        val_loss: mean cross-entropy on the held-out part; None if it was not scored.
        val_accuracy: accuracy on the held-out part; None if it was not scored.
        images_per_second: of the training steps alone.
        seconds: duration of the epoch, scoring included.
    """

    epoch: int
    lr: float
    train_loss: float
    val_loss: float | None
    val_accuracy: float | None
    images_per_second: float
    seconds: float


@dataclass(slots=True)
class Progress:
    """Position of a fold in its training.

    Attributes:
        history: a record of each completed epoch.
        best_accuracy: best accuracy on the held-out part, -1 before the first.
        best_epoch: epochs done when the member was saved.
        step: steps done in the current epoch.
        seconds: duration of these steps.
        parts: number of parts that each batch is cut into to save memory.
        losses: of these steps, scalars on the device.
    """

    history: list[EpochRecord] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_epoch: int = 0
    step: int = 0
    seconds: float = 0.0
    parts: int = 1
    losses: list[torch.Tensor] = field(default_factory=list)

    @property
    def epochs_done(self) -> int:
        """Number of completed epochs."""
        return len(self.history)

    def end_epoch(self, record: EpochRecord) -> None:
        """Complete the current epoch."""
        self.history.append(record)
        self.step = 0
        self.seconds = 0.0
        self.losses = []


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """Content of a checkpoint file.

    Attributes:
        tensors: by name. The network's begin with ``network.``, the EMA's with ``average.``, the
            optimizer's with ``optimizer.NUMBER.``.
        scaler: state of fp16's gradient scaler.
        progress: position of the fold.
        origin: where the network's first weights were from, as in `Classifier`; empty: unknown.
        interpolation: how these weights expect small images to be enlarged; empty: unknown.
    """

    tensors: Tensors
    scaler: dict[str, Any]
    progress: Progress
    origin: str = ""
    interpolation: str = ""

    def describe(self, classifier: Classifier) -> None:
        """Tell a network that was built without weights where its weights are from.

        Args:
            classifier: whose tensors are to be loaded from this checkpoint.
        """
        if self.origin:
            classifier.origin = self.origin
            classifier.interpolation = nearest_interpolation(self.interpolation)

    def restore(
        self,
        network: torch.nn.Module,
        average: torch.nn.Module | None,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Load the tensors into a network, its EMA and its optimizer.

        Args:
            network: the classifier.
            average: the EMA of its weights, if there is one.
            optimizer: of the network's parameters.

        Raises:
            RunError: the checkpoint belongs to another network.
        """
        try:
            network.load_state_dict(_select("network.", self.tensors))
            if average is not None:
                average.load_state_dict(_select("average.", self.tensors))
            moments = _optimizer_state(self.tensors)
            groups = optimizer.state_dict()["param_groups"]
            optimizer.load_state_dict({"state": moments, "param_groups": groups})
            _match_memory_layout(optimizer)
        except (RuntimeError, ValueError) as error:
            reason = one_line(error, 100)
            raise RunError(
                f"the fold's checkpoint belongs to another network ({reason}); begin a new run"
            ) from None


def write_checkpoint(
    files: FoldFiles,
    network: Classifier,
    average: torch.nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: dict[str, Any],
    progress: Progress,
) -> None:
    """Write a checkpoint atomically; the last one becomes the previous one.

    Args:
        files: of the fold.
        network: the classifier.
        average: the EMA of its weights, if there is one.
        optimizer: of the network's parameters.
        scaler: state of fp16's gradient scaler; empty for other precisions.
        progress: position of the fold.

    Raises:
        BestiaryError: the folder cannot be written; the last checkpoint stays.
    """
    tensors = _with_prefix("network.", network.state_dict())
    if average is not None:
        tensors |= _with_prefix("average.", average.state_dict())
    tensors |= _optimizer_tensors(optimizer)
    if progress.losses:
        tensors["losses"] = torch.stack(progress.losses)

    position = asdict(replace(progress, losses=[]))
    metadata = {
        "progress": position,
        "scaler": scaler,
        "origin": network.origin,
        "interpolation": network.interpolation,
    }
    write_tensors(files.state, tensors, metadata, former=files.previous_state)


def read_checkpoint(files: FoldFiles, notice: Callable[[str], None]) -> Checkpoint | None:
    """Read the last checkpoint of a fold, or the previous one if the last is damaged.

    Args:
        files: of the fold.
        notice: shows the user a line about a damaged file.

    Returns:
        The checkpoint; None if there is none that can be read.
    """
    for file in (files.state, files.previous_state):
        if not file.exists():
            continue
        try:
            return _read(file)
        except DamagedError as error:
            notice(f"{file}: is damaged ({error}); the fold resumes from what was saved before it")
    return None


def _read(file: Path) -> Checkpoint:
    tensors, metadata = read_tensors(file)
    try:
        position = metadata["progress"]
        history = position["history"]
        position["history"] = [EpochRecord(**record) for record in history]
        losses = tensors.pop("losses", torch.empty(0))
        position["losses"] = list(losses)
        return Checkpoint(
            tensors=tensors,
            scaler=dict(metadata["scaler"]),
            progress=Progress(**position),
            origin=str(metadata.get("origin", "")),
            interpolation=str(metadata.get("interpolation", "")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"it was written by another version, {error!r}") from None


def _optimizer_tensors(optimizer: torch.optim.Optimizer) -> Tensors:
    """Name the tensors of an optimizer by the index of their parameter."""
    tensors: Tensors = {}
    state = optimizer.state_dict()["state"]
    for index, moments in state.items():
        for name, value in moments.items():
            tensors[f"optimizer.{index}.{name}"] = torch.as_tensor(value)
    return tensors


def _optimizer_state(tensors: Tensors) -> dict[int, Tensors]:
    """Group the tensors of a checkpoint by the index of their parameter."""
    state: dict[int, Tensors] = {}
    for key, value in _select("optimizer.", tensors).items():
        index, name = key.split(".", 1)
        moments = state.setdefault(int(index), {})
        moments[name] = value
    return state


def _match_memory_layout(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer's moments the memory layout of their parameters.

    A file holds tensors with the channels outermost. PyTorch's fused AdamW on a CPU walks through
    memory in order. Without this, it would move a channels-last parameter by the moments of other
    weights.
    """
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                like_parameter = torch.empty_like(parameter)
                moments[name] = like_parameter.copy_(value)


def _with_prefix(prefix: str, tensors: Tensors) -> Tensors:
    return {prefix + name: tensor for name, tensor in tensors.items()}


def _select(prefix: str, tensors: Tensors) -> Tensors:
    """Select the tensors whose names begin with `prefix`, and remove it from their names."""
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
