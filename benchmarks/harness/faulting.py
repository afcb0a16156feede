"""Small training runs in forked children that can be killed, and digests to compare their results.

The parent imports everything once and never computes. So a child starts in a few milliseconds and
inherits no threads or locks. Set OMP_NUM_THREADS=1: OpenMP threads would not survive the fork.
"""

import hashlib
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import timm.models  # noqa: F401 (imported before the children are forked)
import torch

from bestiary.beasts.sample import draw_sample
from bestiary.cli import main
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training import checkpointer as checkpointer

RECIPE = """
[model]
backbone = "timm/test_resnet"
weights = "none"
[view]
size = 32
rotation = 10.0
augment = "trivialaugment"
[mix]
probability = 0.8
[train]
epochs = 3
batch_size = 8
save_every = 2
precision = "float32"
layout = "channels_last"
compile = "never"
threads = 1
"""
FOLDS = 2


class Workspace:
    """A scratch folder with images, a recipe and numbered runs, each with a cache of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.data = folder / "data"
        self.recipe = folder / "tiny.toml"
        status, output = in_child(
            lambda: draw_sample(self.data, species=3, per_species=16, size=48) and 0, folder / "log"
        )
        if status:
            raise SystemExit(output)
        self.recipe.write_text(RECIPE)

    def command(self, run: Path, *, resume: bool) -> list[str]:
        """The command that begins or resumes `run`, with as many checkpoints as possible."""
        new = ["--recipe", str(self.recipe), "--folds", str(FOLDS)]
        how = ["--resume"] if resume and (run / "recipe.toml").exists() else new
        return ["train", str(self.data), str(run), *how, "--checkpoint-every", "0.01s"]

    def train(
        self,
        run: Path,
        *,
        prepare: Callable[[], object] = lambda: None,
        kill_after: float | None = None,
    ) -> tuple[int, str]:
        """Begin or resume `run` in a child.

        Returns:
            Its exit status (minus the signal that ended it) and its output.
        """

        def work() -> int:
            os.environ["BESTIARY_CACHE"] = str(run.with_name(run.name + "-cache"))
            every_step = partial(checkpointer.Checkpointer, time_share=float("inf"))
            checkpointer.Checkpointer = every_step  # type: ignore[misc, assignment]
            prepare()
            return main(self.command(run, resume=True))

        return in_child(work, run.with_name(run.name + ".log"), kill_after)


def in_child(
    work: Callable[[], int], log: Path, kill_after: float | None = None
) -> tuple[int, str]:
    """Run `work` in a forked child whose output goes to `log`.

    SIGKILL it after `kill_after` seconds if it still runs.
    """
    pid = os.fork()
    if pid == 0:
        status = 99
        try:
            handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(handle, 1)
            os.dup2(handle, 2)
            torch.set_num_threads(1)
            status = work()
        except BaseException:
            import traceback

            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(status)
    deadline = None if kill_after is None else time.monotonic() + kill_after
    while True:
        done, status = os.waitpid(pid, os.WNOHANG if deadline else 0)
        if done:
            return os.waitstatus_to_exitcode(status), log.read_text(errors="replace")
        if deadline and time.monotonic() >= deadline:
            os.kill(pid, signal.SIGKILL)
            deadline = None
        else:
            time.sleep(0.001)


def forked(work: Callable[[], Any]) -> Any:
    """The JSON result of `work` in a forked child, or how the child ended without a result."""
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # decoders write there as they like
            with os.fdopen(writing, "w") as pipe:
                json.dump(work(), pipe)
        finally:
            os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        content = pipe.read()
    _, status = os.waitpid(pid, 0)
    return json.loads(content) if content else f"died: {os.waitstatus_to_exitcode(status)}"


def digests(run: Path) -> dict[str, str]:
    """Digests of each fold's weights and out-of-fold logits, and of the scores; read in a child."""
    digest_of: dict[str, str] = forked(lambda: _digests(run))
    return digest_of


def _digests(run: Path) -> dict[str, str]:
    opened = Run.open(run)
    digest_of = {}
    for fold in range(FOLDS):
        files = opened.fold(fold)
        digest_of[f"weights {fold}"] = hashlib.sha256(files.weights.read_bytes()).hexdigest()
        digest_of[f"epoch 2 {fold}"] = hashlib.sha256(files.epoch(2).read_bytes()).hexdigest()
        digest_of[f"logits {fold}"] = hashlib.sha256(
            read_oof(files)[0]["logits"].to_numpy().tobytes()
        ).hexdigest()
    digest_of["metrics"] = hashlib.sha256(opened.file("metrics.json").read_bytes()).hexdigest()
    return digest_of


def last_line(output: str) -> str:
    """The last line of a command's output."""
    lines: Sequence[str] = output.strip().splitlines() or [""]
    return lines[-1]
