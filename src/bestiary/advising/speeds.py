"""Speed of a backbone: a recipe -> seconds an image in training and prediction, on this device.

Training steps are those of autotuning, and prediction uses the engine of finished ensembles, both
on random images and weights. Reading is timed on real images. Knows nothing of accuracy.
"""

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from bestiary.data.decode import Pixels, read_image
from bestiary.data.eval_view import EvalView
from bestiary.data.loader import loader_threads, stream_views
from bestiary.model.classifier import build_classifier
from bestiary.model.compute import memory_format, resolve_precision
from bestiary.model.device import best_device
from bestiary.model.engine import Network, build_network
from bestiary.model.tta import images_at_once
from bestiary.recipe.options import Recipe
from bestiary.training.autotune import candidates
from bestiary.training.step_timing import time_training_step

REPEATS = 5  # timed calls; the median counts
MAX_READ_IMAGES = 64


@dataclass(frozen=True, slots=True)
class TrainSpeed:
    """Seconds an image of one network, with the recipe's freezing and precision.

    Attributes:
        step: of training.
        single: of prediction, one image at a time, without reading it.
        batched: of prediction, in batches, without reading.
    """

    step: float
    single: float
    batched: float


def measure_speed(recipe: Recipe, classes: int) -> TrainSpeed:
    """Time training steps and predictions of a recipe's backbone, with random weights.

    Args:
        recipe: of the training.
        classes: number of outputs.

    Raises:
        WeightsError: the backbone is unknown.
        RecipeError: the backbone has fewer stages than the recipe freezes.
    """
    device = best_device()
    config = candidates(recipe, device)[0]
    timing = time_training_step(recipe, classes, config, device)
    assert timing, "only compilation can fail, and this candidate is not compiled"

    network = _build_network(recipe, classes, device)
    one = _random_views(1, recipe.view.eval_side)
    batch_size = images_at_once(1, device)
    many = _random_views(batch_size, recipe.view.eval_side)
    single_seconds = _median_seconds(lambda: network(one))
    batch_seconds = _median_seconds(lambda: network(many))
    return TrainSpeed(
        step=timing.seconds,
        single=single_seconds,
        batched=batch_seconds / batch_size,
    )


def _random_views(count: int, side: int) -> torch.Tensor:
    """Draw views, uint8 (count, side, side, 3)."""
    shape = (count, side, side, 3)
    return torch.randint(0, 256, shape, dtype=torch.uint8)


def _build_network(recipe: Recipe, classes: int, device: torch.device) -> Network:
    model = recipe.model
    classifier = build_classifier(
        model.backbone,
        classes,
        "none",
        model.normalize,
    )
    classifier.to(device)
    classifier.to(memory_format=memory_format(True))
    classifier.eval()
    precision = resolve_precision(recipe.train.precision, device)
    engine = build_network(classifier, recipe.view.eval_side, device, precision)
    return engine.run


def measure_reading(images: list[Path], view: EvalView) -> float:
    """Time reading, decoding and resizing with all cores.

    Args:
        images: at least one; a sample of up to `MAX_READ_IMAGES` is read.
        view: that is made of each image.

    Returns:
        Seconds an image.
    """
    stride = max(1, len(images) // MAX_READ_IMAGES)
    sample = images[::stride][:MAX_READ_IMAGES]
    threads = loader_threads(best_device().type)

    def read_view(index: int) -> Pixels:
        image = read_image(sample[index])
        pixels = view.decode(image)
        return view(pixels)

    rows = np.arange(len(sample))
    started = time.perf_counter()
    for _ in stream_views(rows, MAX_READ_IMAGES // 2, read_view, threads):
        pass
    seconds = time.perf_counter() - started
    return seconds / len(sample)


def _median_seconds(work: Callable[[], object]) -> float:
    """Time some calls, after one to warm up."""
    work()
    seconds = []
    for _ in range(REPEATS):
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds)
