"""Folds side by side: each fold is trained by a process of its own, which has a GPU to itself.

A batch of the usual size is too small to be shared: eight GPUs would wait for each other more than
they compute. Folds need nothing from each other. Does not know how a fold is trained.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from bestiary.display import Display
from bestiary.errors import BestiaryError, RunError
from bestiary.run.run import Run
from bestiary.training.crossval import is_fold_complete, prepare_folds
from bestiary.training.launch import SHUTDOWN_SECONDS, recorded_error

# Images of a batch a GPU, from which on sharing a fold is worth the waiting for each other. Fewer
# leave a GPU idle between the launches of its kernels.
MIN_IMAGES_PER_GPU = 64
POLL_SECONDS = 0.2
ERROR_FILE_VARIABLE = "TORCHELASTIC_ERROR_FILE"  # where PyTorch's ErrorHandler writes
VISIBLE_GPUS = "CUDA_VISIBLE_DEVICES"


def gives_folds_a_gpu_each(folds: Sequence[int], processes: int, batch_size: int) -> bool:
    """Choose between folds side by side and processes that train each fold together.

    Args:
        folds: to train.
        processes: that the user asks for.
        batch_size: images in a step, over all processes.

    Returns:
        Whether folds are trained side by side: with GPUs, several folds, and a batch too small to
        be shared.
    """
    is_too_small = batch_size < processes * MIN_IMAGES_PER_GPU
    return torch.cuda.is_available() and len(folds) > 1 and is_too_small


def visible_gpus() -> list[str]:
    """List the GPUs of this process, as its children have to name them."""
    named = os.environ.get(VISIBLE_GPUS)
    if named:
        return [name.strip() for name in named.split(",")]
    return [str(number) for number in range(torch.cuda.device_count())]


@dataclass(frozen=True, slots=True)
class _Child:
    """A process that trains one fold.

    Attributes:
        fold: number of the fold.
        gpu: that it computes on.
        process: of the system.
        error_file: where it records an error.
    """

    fold: int
    gpu: str
    process: "subprocess.Popen[bytes]"
    error_file: Path


def train_side_by_side(
    run: Run, folds: Sequence[int], processes: int, every: float, display: Display
) -> None:
    """Train folds, up to `processes` at a time, each on a GPU of its own.

    Args:
        run: that has been begun.
        folds: numbers of the folds.
        processes: number of GPUs to use.
        every: seconds between checkpoints inside an epoch.
        display: shows which folds have ended.

    Raises:
        Interrupted: by Ctrl-C or SIGTERM; checkpoints are saved.
        BestiaryError: a fold failed; the others are stopped and save their checkpoints.
    """
    waiting = deque(fold for fold in folds if not is_fold_complete(run.fold(fold), display))
    if not waiting:
        return
    free_gpus = deque(visible_gpus()[: min(processes, len(waiting))])
    display.notice(
        f"{len(waiting)} folds side by side on {len(free_gpus)} GPUs, one GPU each: the batch of "
        f"the recipe is too small to be shared (fewer than {MIN_IMAGES_PER_GPU} images a GPU)"
    )
    prepare_folds(run, display)

    running: list[_Child] = []
    with tempfile.TemporaryDirectory(prefix="bestiary-") as folder, _stopped_at_the_end(running):
        while waiting or running:
            while waiting and free_gpus:
                fold = waiting.popleft()
                error_file = Path(folder, f"fold-{fold}.json")
                running.append(_start(run, fold, free_gpus.popleft(), every, error_file))
            time.sleep(POLL_SECONDS)
            for child in [one for one in running if one.process.poll() is not None]:
                running.remove(child)
                free_gpus.append(child.gpu)
                _check(child)
                display.line(f"fold {child.fold}: trained on GPU {child.gpu}")


def _start(run: Run, fold: int, gpu: str, every: float, error_file: Path) -> _Child:
    request = {
        "run": str(run.path),
        "data": run.data,
        "folds": [fold],
        "every": every,
        "quiet": True,  # bars of several processes would overwrite each other
    }
    environment = os.environ | {VISIBLE_GPUS: gpu, ERROR_FILE_VARIABLE: str(error_file)}
    process = subprocess.Popen(
        [sys.executable, "-m", "bestiary.training.launch", json.dumps(request)],
        env=environment,
        start_new_session=True,  # Ctrl-C comes once, from here
    )
    return _Child(fold, gpu, process, error_file)


@contextmanager
def _stopped_at_the_end(running: list[_Child]) -> Iterator[None]:
    """Stop the children that still run when the block ends, which then save their checkpoints."""
    try:
        yield
    finally:
        for child in running:
            child.process.terminate()
        for child in running:
            with suppress(subprocess.TimeoutExpired):
                child.process.wait(SHUTDOWN_SECONDS)


def _check(child: _Child) -> None:
    """Raise the error of a child that has failed."""
    code = child.process.returncode
    if code == 0:
        return
    error = _read_error(child.error_file)
    if error is not None:
        raise error
    end = f"signal {-code}" if code < 0 else f"exit status {code}"
    raise RunError(
        f"fold {child.fold}: its process has ended by {end}; its last checkpoint is intact: look "
        "at its output, at memory too, then --resume"
    )


def _read_error(file: Path) -> BestiaryError | None:
    with suppress(OSError, ValueError, AttributeError):
        content: Any = json.loads(file.read_text(encoding="utf-8"))
        return recorded_error(content.get("message"))
    return None
