"""What all stages share: sizes, where results go, verbs of bestiary as processes, timing."""

import hashlib
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

RESULTS = "results.jsonl"
HISTORY = ["train_loss", "val_accuracy", "images_per_second", "seconds"]
TAIL = 2000  # characters of a failed command's output that are kept


@dataclass(frozen=True)
class Done:
    """A verb that has ended.

    Attributes:
        ok: whether its exit status was 0 or 1, which are results.
        seconds: that it took.
        text: what it printed.
    """

    ok: bool
    seconds: float
    text: str


@dataclass(frozen=True)
class Kit:
    """One stage's surroundings.

    Attributes:
        stage: its name.
        out: folder of the results.
        work: folder of images, runs and caches.
        tiny: sizes for a try on a CPU, instead of those that are measured.
    """

    stage: str
    out: Path
    work: Path
    tiny: bool = False

    @property
    def network(self) -> str:
        """torchvision's name of the network that is measured."""
        return "shufflenet_v2_x0_5" if self.tiny else "resnext101_64x4d"

    @property
    def size(self) -> int:
        """Side of a training view in pixels."""
        return 32 if self.tiny else 224

    @property
    def batch(self) -> int:
        """Images in a step."""
        return 16 if self.tiny else 64

    @property
    def classes(self) -> int:
        """Classes of the drawn images."""
        return 4 if self.tiny else 20

    @property
    def n_images(self) -> int:
        """Images of the larger set."""
        return 48 if self.tiny else 3200

    @property
    def steps(self) -> int:
        """Timed steps on a resident batch."""
        return 2 if self.tiny else 40

    def say(self, name: str, **facts: Any) -> None:
        """Print a result, and add it to the file of results."""
        row = {"stage": self.stage, "name": name, "at": round(time.time(), 2), **facts}
        line = json.dumps(row, default=str)
        with (self.out / RESULTS).open("a") as file:
            print(line, file=file)
        print(line, flush=True)

    def cli(self, *words: object, name: str = "", needed: bool = False) -> Done:
        """Run a verb of bestiary in a process of its own.

        Args:
            words: the command line after ``bestiary``.
            name: of the result; the verb where it is empty.
            needed: whether the stage ends if the verb fails.
        """
        command = [sys.executable, "-m", "bestiary", *map(str, words)]
        started = time.perf_counter()
        process = subprocess.run(command, capture_output=True, text=True, check=False)
        seconds = time.perf_counter() - started
        text = process.stdout + process.stderr
        print("$ bestiary", *words, f"\n{text[-3 * TAIL :]}", flush=True)
        ok = process.returncode in (0, 1)
        facts = {} if ok else {"tail": text[-TAIL:]}
        self.say(
            name or str(words[0]), status=process.returncode, seconds=round(seconds, 2), **facts
        )
        if needed and not ok:
            raise SystemExit(f"{words}: {text[-TAIL:]}")
        return Done(ok, seconds, text)

    @contextmanager
    def noting_failure(self, name: str) -> Iterator[None]:
        """Report an exception of the block as a result, so that the stage goes on."""
        try:
            yield
        except Exception as error:
            self.say(name, failed=f"{type(error).__name__}: {str(error)[:500]}")


def device() -> Any:
    """The device that bestiary computes on."""
    from bestiary.model.device import best_device

    return best_device()


def wait() -> None:
    """Wait until the device has done what it was given."""
    from bestiary.model.compute import synchronize

    synchronize(device())


def median_seconds(work: Callable[[], object], times: int) -> float:
    """Median seconds of `work` on the device, after three calls to warm up."""
    seconds = []
    for number in range(times + 3):
        wait()
        started = time.perf_counter()
        work()
        wait()
        if number >= 3:
            seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)


def history(run: Path) -> list[dict[str, Any]]:
    """The epochs of a run's fold 0."""
    return pl.read_csv(run / "fold-0" / "history.csv").select(HISTORY).to_dicts()


def fingerprint(run: Path) -> str:
    """The beginning of the digest of fold 0's weights."""
    weights = (run / "fold-0" / "weights.safetensors").read_bytes()
    return hashlib.sha256(weights).hexdigest()[:16]


def n_cores() -> int:
    """Cores of this machine."""
    return os.cpu_count() or 1
