"""A fold's state <-> one safetensors file: weights, optimiser, scaler, history. No pickle.

Since every random draw is a function of (seed, fold, epoch, step), a state holds no generators.
"""

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file

from bestiary.atomic import atomic_path
from bestiary.errors import RunError


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
    """How far a fold has come, beside its tensors."""

    history: list[EpochRecord] = field(default_factory=list)
    best_accuracy: float = -1.0
    best_epoch: int = 0

    @property
    def epochs_done(self) -> int:
        """Whole epochs."""
        return len(self.history)


def save_state(
    file: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer, scaler: dict[str, Any], progress: Progress
) -> None:
    """Write the state, whole or not at all."""
    tensors = {f"network.{key}": value for key, value in network.state_dict().items()}
    for number, entry in optimiser.state_dict()["state"].items():
        tensors |= {f"optimiser.{number}.{key}": torch.as_tensor(value) for key, value in entry.items()}
    note = {"bestiary": json.dumps({"progress": asdict(progress), "scaler": scaler})}
    with atomic_path(file) as temporary:
        save_file({k: v.contiguous() for k, v in tensors.items()}, temporary, metadata=note)


def load_state(
    file: Path, network: torch.nn.Module, optimiser: torch.optim.Optimizer
) -> tuple[Progress, dict[str, Any]]:
    """Fill network and optimiser from `file`; gives the progress and the scaler's state.

    Raises:
        RunError: the file is damaged or of another network.
    """
    try:
        with safe_open(file, "pt") as archive:
            note = json.loads(archive.metadata()["bestiary"])
            tensors = {key: archive.get_tensor(key) for key in archive.keys()}  # noqa: SIM118 (not a dict)
        network.load_state_dict({k.removeprefix("network."): v for k, v in tensors.items() if k.startswith("network.")})
        entries: dict[int, dict[str, torch.Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimiser."):
                _, number, name = key.split(".", 2)
                entries.setdefault(int(number), {})[name] = value
        optimiser.load_state_dict({"state": entries, "param_groups": optimiser.state_dict()["param_groups"]})
        progress = note["progress"]
        progress["history"] = [EpochRecord(**record) for record in progress["history"]]
        return Progress(**progress), dict(note["scaler"])
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise RunError(f"{file}: cannot be resumed from ({reason}); remove the folder {file.parent.parent}") from None
