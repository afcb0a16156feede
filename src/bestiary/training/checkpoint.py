"""A fold's state <-> two safetensors files, the last and the one before: tensors, scaler, position.
No pickle.

Since every random draw is a function of (seed, fold, epoch, step), a state holds no generators:
where it stands inside the epoch says all that the loader, the views and the mixing need.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from bestiary.errors import DamagedError, RunError, one_line
from bestiary.model.tensor_file import read_tensors, write_tensors
from bestiary.run.layout import FoldFiles


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """One row of history.csv."""

    epoch: int  # epochs done, from 1
    lr: float  # at the epoch's last step
    train_loss: float  # mean over its steps, mixed targets included
    val_loss: float | None  # None where the held-out part was not scored
    val_accuracy: float | None
    images_per_second: float  # training alone
    seconds: float  # scoring included


@dataclass(slots=True)
class Progress:
    """How far a fold has come, beside its tensors.

    Attributes:
        history: a record of each whole epoch.
        best_accuracy: on the held-out part, -1 before any.
        best_epoch: epochs done when the member was kept.
        step: steps done in the epoch under way.
        seconds: spent on them.
        parts: what each batch is cut into because memory is short.
        losses: of those steps, scalars on the device.
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
        """Whole epochs."""
        return len(self.history)

    def end_epoch(self, record: EpochRecord) -> None:
        """The epoch under way is whole."""
        self.history.append(record)
        self.step, self.seconds, self.losses = 0, 0.0, []


@dataclass(frozen=True, slots=True)
class State:
    """What a state file holds.

    Attributes:
        tensors: by name; the network's begin with ``network.``, its moving average's with
            ``average.``, the optimizer's with ``optimizer.NUMBER.``.
        scaler: state of fp16's gradient scaler.
        progress: how far the fold had come.
    """

    tensors: dict[str, torch.Tensor]
    scaler: dict[str, Any]
    progress: Progress

    def restore(
        self,
        network: torch.nn.Module,
        average: torch.nn.Module | None,
        optimizer: torch.optim.Optimizer,
    ) -> None:
        """Fill network, its moving average where there is one, and optimizer.

        Raises:
            RunError: the state is another network's.
        """
        entries: dict[int, dict[str, torch.Tensor]] = {}
        try:
            network.load_state_dict(_inside("network.", self.tensors))
            if average is not None:
                average.load_state_dict(_inside("average.", self.tensors))
            for key, value in _inside("optimizer.", self.tensors).items():
                number, name = key.split(".", 1)
                entries.setdefault(int(number), {})[name] = value
            optimizer.load_state_dict(
                {"state": entries, "param_groups": optimizer.state_dict()["param_groups"]}
            )
            _lay_out_alike(optimizer)
        except (RuntimeError, ValueError) as error:
            reason = one_line(error, 100)
            raise RunError(
                f"the fold's state is of another network ({reason}); begin a new run"
            ) from None


def save_state(
    files: FoldFiles,
    network: torch.nn.Module,
    average: torch.nn.Module | None,
    optimizer: torch.optim.Optimizer,
    scaler: dict[str, Any],
    progress: Progress,
) -> None:
    """Write the state, whole or not at all; the state that was there becomes the one before.

    Raises:
        BestiaryError: the folder cannot be written; what was there stays.
    """
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    if average is not None:
        tensors |= {f"average.{key}": value for key, value in average.state_dict().items()}
    for number, entry in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{number}.{key}": torch.as_tensor(value) for key, value in entry.items()
        }
    if progress.losses:
        tensors["losses"] = torch.stack(progress.losses)
    said = asdict(replace(progress, losses=[]))
    write_tensors(
        files.state, tensors, {"progress": said, "scaler": scaler}, former=files.previous_state
    )


def read_state(files: FoldFiles, notice: Callable[[str], None]) -> State | None:
    """The last state, or the one before where the last is damaged, which `notice` is told; None
    where there is none.
    """
    for file in (files.state, files.previous_state):
        if not file.exists():
            continue
        try:
            return _read(file)
        except DamagedError as error:
            notice(f"{file}: is damaged ({error}); the fold goes on from what was kept before it")
    return None


def _read(file: Path) -> State:
    tensors, card = read_tensors(file)
    try:
        said = card["progress"]
        said["history"] = [EpochRecord(**record) for record in said["history"]]
        said["losses"] = list(tensors.pop("losses", torch.empty(0)))
        return State(tensors, dict(card["scaler"]), Progress(**said))
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError(f"it is of another version, {error!r}") from None


def _lay_out_alike(optimizer: torch.optim.Optimizer) -> None:
    """Give an optimizer's moments the layout of their parameters.

    They come from disk with the channels outermost. PyTorch's fused AdamW on a CPU goes through
    memory in order, so that a channels-last parameter would be moved by the moments of other
    weights.
    """
    for parameter, entry in optimizer.state.items():
        for name, value in entry.items():
            if value.shape == parameter.shape:
                entry[name] = torch.empty_like(parameter).copy_(value)


def _inside(prefix: str, tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {
        key.removeprefix(prefix): value for key, value in tensors.items() if key.startswith(prefix)
    }
