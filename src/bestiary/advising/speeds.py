"""A backbone, a size and a device -> what an image costs there, measured for a few seconds.

Training steps are those of `bestiary.training.autotune`; prediction runs on the engine that
prediction runs on. Images are random but for the reading of real ones. Knows nothing of accuracies
or advice.
"""

import os
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bestiary.data.decode import decode, read_image
from bestiary.data.loader import loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.model.classifier import build_classifier, memory_format
from bestiary.model.compute import best_device, resolve_precision
from bestiary.model.engine import build_network
from bestiary.recipe.options import Recipe
from bestiary.training.autotune import candidates, time_training_step

BATCH = 32  # images predicted together
TURNS = 5  # timings of which the median counts
READ = 64  # real images that are read


@dataclass(frozen=True, slots=True)
class TrainSpeed:
    """Seconds of one network, with the recipe's freezing and arithmetic.

    Attributes:
        step: an image in training.
        single: an image that is predicted alone, without reading it.
        many: an image that is predicted among others, likewise.
    """

    step: float
    single: float
    many: float


def measure_speed(recipe: Recipe, classes: int) -> TrainSpeed:
    """Time the recipe's backbone at its view size on this machine's device, its weights being
    random.

    Raises:
        WeightsError: the backbone is unknown.
        RecipeError: it has fewer stages than the recipe freezes.
    """
    device = best_device()
    timing = time_training_step(recipe, classes, candidates(recipe.train, device)[0], device)
    assert timing, "nothing is compiled, so nothing can be missing for that"
    size = recipe.view.eval_side
    classifier = build_classifier(
        recipe.model.backbone, classes, "none", recipe.model.normalize
    ).to(device)
    classifier.to(memory_format=memory_format(True)).eval()
    run = build_network(
        classifier, size, device, resolve_precision(recipe.train.precision, device)
    ).run
    one, many = (torch.randint(0, 256, (n, size, size, 3), dtype=torch.uint8) for n in (1, BATCH))
    return TrainSpeed(timing.seconds, _median(lambda: run(one)), _median(lambda: run(many)) / BATCH)


def measure_reading(images: list[Path], view: EvalView) -> float:
    """Seconds to read, decode and resize an image by all cores; `images` are some real ones, one
    at least.
    """
    chosen = images[:: max(1, len(images) // READ)][:READ]
    started = time.perf_counter()
    for _ in stream_views(
        np.arange(len(chosen)),
        BATCH,
        lambda row: view(decode(read_image(chosen[row]), min_side=view.min_side)),
        loader_threads(best_device().type),
    ):
        pass
    return (time.perf_counter() - started) / len(chosen)


def busy_cores() -> float:
    """Cores that all programs have kept busy over the last minute; 0 where the system does not
    say.
    """
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0


def _median(work: Callable[[], object]) -> float:
    work()
    seconds = []
    for _ in range(TURNS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
