"""Cache of step timings: training steps that autotuning measured on this machine.

Timings are shared by all runs with the same network, view, batch size, device and PyTorch. They lie
in one JSON file in the user's cache folder. Does not know how steps are timed.
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
    """

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.file = cache_root() / COMPUTE
        model = recipe.model.model_dump(include={"backbone", "freeze", "freeze_norms"})
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

    def read(self) -> Timings:
        """Read the cached timings; a file of another version counts as empty."""
        timings: Timings = {}
        try:
            for entry in self._read_file().get(self.key, []):
                config = ComputeConfig(**entry["arithmetic"])
                timings[config] = StepTiming(**entry["timing"])
        except (TypeError, KeyError, AttributeError):
            return {}
        return timings

    def write(self, timings: Timings) -> None:
        """Replace the cached timings, if the cache is writable.

        Args:
            timings: to be cached for this key.
        """
        content = self._read_file()
        content[self.key] = [
            {
                "arithmetic": asdict(config),
                "timing": asdict(timing),
            }
            for config, timing in timings.items()
        ]
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
