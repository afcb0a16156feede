"""A contender's side: the job that the harness gives it, its minutes, and what it answers.

Needs NumPy alone, so that it runs in the environment of any contender. A contender is a program
``python CONTENDER.py JOB.json``. It trains on the images of ``train`` until its minutes are over,
then writes the probabilities of the images of ``test``; only the training is timed.
"""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

SIZE = 224
MARGIN = 5.0  # seconds of the minutes that nobody plans with


@dataclass(frozen=True)
class Job:
    """What a contender is asked for.

    Attributes:
        train: folder of class folders to train on.
        test: folder of class folders to predict.
        classes: names of the classes, in the order of the answer.
        minutes: of training, from the start of the process.
        started: time of its start, as `time.time` gives it.
        seed: of every random draw.
        weights: EfficientNet-Lite0's ImageNet weights, named as timm names them.
        scratch: folder for whatever the contender writes.
    """

    train: Path
    test: Path
    classes: list[str]
    minutes: float
    started: float
    seed: int
    weights: Path
    scratch: Path

    @classmethod
    def read(cls) -> "Job":
        """Read the job that the command line names."""
        values: dict[str, Any] = json.loads(Path(sys.argv[1]).read_text())
        for name in ("train", "test", "weights", "scratch"):
            values[name] = Path(values[name])
        return cls(**values)

    @property
    def seconds_left(self) -> float:
        """Seconds until training must have ended."""
        return self.started + 60 * self.minutes - MARGIN - time.time()

    def files(self, part: Path) -> tuple[list[Path], np.ndarray]:
        """List the images of `train` or `test`, sorted, and their class numbers."""
        files = sorted(file for file in part.rglob("*") if file.is_file())
        number = {name: index for index, name in enumerate(self.classes)}
        return files, np.array([number[file.parent.name] for file in files])

    def random_fifth(self) -> np.ndarray:
        """Choose a random fifth of the training images to validate by, as users do: a mask."""
        files, _ = self.files(self.train)
        return np.random.default_rng(self.seed).random(len(files)) < 0.2

    def epochs_that_fit(self, epoch_seconds: float, least: int = 1) -> int:
        """Count the epochs that still fit, `least` at least."""
        return max(least, int(self.seconds_left / epoch_seconds))

    def answer(self, probabilities: np.ndarray, trained: float, **facts: Any) -> None:
        """Write the answer.

        Args:
            probabilities: (test images, classes), in the order of `files`.
            trained: time at which training ended, as `time.time` gives it.
            facts: ``claim``, the accuracy that the tool itself prints (None if it prints none),
                ``epochs``, and whatever else should be known.
        """
        np.save(self.scratch / "probabilities.npy", probabilities.astype(np.float32))
        facts["minutes_trained"] = (trained - self.started) / 60
        (self.scratch / "answer.json").write_text(json.dumps(facts))


def seconds_of(work: Callable[[], object]) -> float:
    """Time one call."""
    started = time.perf_counter()
    work()
    return time.perf_counter() - started
