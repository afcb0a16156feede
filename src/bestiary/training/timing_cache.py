"""Cache of step timings: training steps that autotuning measured on this machine.

Timings are shared by all runs with the same network, view, batch size, device and PyTorch. They lie
in one JSON file in the user's cache folder, with what was decided for each training: the same
command decides the same twice, though more has been timed since. Does not know how steps are timed.
"""

import json
from contextlib import suppress
from dataclasses import asdict
from typing import Any

import torch

from bestiary.atomic import write_text
from bestiary.caches import cache_root
from bestiary.errors import BestiaryError
from bestiary.model.compute import ComputeConfig, device_name
from bestiary.recipe.options import Recipe
from bestiary.run.layout import COMPUTE
from bestiary.training.step_timing import StepTiming

Timings = dict[ComputeConfig, StepTiming]


class TimingCache:
    """Timings of earlier runs on this machine.

    Args:
        recipe: its backbone, freezing, view size and batch size are the key, with the device.
        device: that was measured.
        images: training views of all folds and epochs together, which tell trainings apart.
        classes: number of outputs, likewise.
    """

    def __init__(self, recipe: Recipe, device: torch.device, images: int, classes: int) -> None:
        self.file = cache_root() / COMPUTE
        model = recipe.model.model_dump(include={"backbone", "freeze", "freeze_norms", "lora"})
        key = [
            device_name(device),
            torch.get_num_threads(),
            torch.__version__,
            recipe.view.size,
            recipe.train.batch_size,
            model,
        ]
        if recipe.train.deterministic:
            key.append("deterministic")
        self.key = json.dumps(key)
        choices = recipe.train.model_dump(include={"precision", "layout", "compile", "threads"})
        self.training = json.dumps([images, classes, recipe.folds.n, choices])

    def read(self) -> tuple[Timings, ComputeConfig | None]:
        """Read the cached timings; a file of another version counts as empty.

        Returns:
            The timings, and what was decided for this training before: one of them, or None.
        """
        timings: Timings = {}
        try:
            cached = self._read_file().get(self.key, {"timings": [], "decisions": {}})
            for entry in cached["timings"]:
                config = ComputeConfig(**entry["arithmetic"])
                timings[config] = StepTiming(**entry["timing"])
            decision = cached["decisions"].get(self.training)
            decided = decision and ComputeConfig(**decision)
        except (TypeError, KeyError, AttributeError):
            return {}, None
        return timings, decided if decided in timings else None

    def write(self, timings: Timings, decision: ComputeConfig) -> None:
        """Replace the cached timings and add the decision, if the cache is writable.

        Args:
            timings: to be cached for this key.
            decision: the one of them that this training takes.
        """
        content = self._read_file()
        former = content.get(self.key)
        decisions = former.get("decisions", {}) if isinstance(former, dict) else {}
        content[self.key] = {
            "timings": [
                {
                    "arithmetic": asdict(config),
                    "timing": asdict(timing),
                }
                for config, timing in timings.items()
            ],
            "decisions": decisions | {self.training: asdict(decision)},
        }
        text = json.dumps(content, indent=1) + "\n"
        # If the cache cannot be written, the next run measures once more.
        with suppress(BestiaryError):
            write_text(self.file, text)

    def _read_file(self) -> dict[str, Any]:
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
