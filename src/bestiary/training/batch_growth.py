"""Batch growth: a recipe -> how many times its batch a new run takes on this GPU.

A GPU trains an image of a large batch faster than one of a small batch, up to a size that depends
on the card and the network, so steps are timed. The learning rate grows with the square root of the
batch (Malladi et al. 2022, arXiv:2205.10287); benchmarks/accuracy/batch_scaling.py has what that
changes. The choice is written into the recipe of the run, whose folds all train alike. Knows
nothing of images.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace

import torch

from bestiary.display import Display
from bestiary.model.device import best_device
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import parse_override
from bestiary.training.autotune import candidates
from bestiary.training.step_timing import time_training_step

MIN_GAIN = 0.1  # share of an image's time that doubling the batch must save
CLASSES = 2  # of the timed networks: the head is a small part of a step


def grow_batch(recipe: Recipe, overrides: Sequence[str], display: Display) -> Recipe:
    """Choose the batch of a new run: a GPU doubles it while that saves `MIN_GAIN` of the time.

    Args:
        recipe: `train.batch_growth` says how far the batch may grow.
        overrides: of the recipe, as section.key=value; a batch size among them is kept.
        display: shows a larger batch.

    Returns:
        The recipe with the batch and the rate that are taken, and no further growth.

    Raises:
        WeightsError: the backbone is unknown to this installation.
    """
    chosen, *larger = _grown(recipe)
    device = best_device()
    is_open = device.type == "cuda" and recipe.train.epochs > 0 and not _set_batch(overrides)
    if not larger or not is_open:
        return chosen

    seconds = _seconds_per_image(chosen, device)
    first = seconds
    for candidate in larger:
        candidate_seconds = _seconds_per_image(candidate, device)
        if candidate_seconds > (1 - MIN_GAIN) * seconds:
            break
        chosen, seconds = candidate, candidate_seconds
    if chosen.train.batch_size > recipe.train.batch_size:
        display.line(
            f"Batches of {chosen.train.batch_size} images, not {recipe.train.batch_size}: "
            f"{1000 * seconds:.2g} ms an image instead of {1000 * first:.2g}. Learning rate "
            f"{chosen.optimizer.lr:.3g}, not {recipe.optimizer.lr:.3g}"
        )
    return chosen


def grown_like(recipe: Recipe, begun: Recipe) -> Recipe:
    """Give a recipe the batch that a run has taken, if it is one that the recipe allows.

    Args:
        recipe: as the user asks for it again.
        begun: of the run.

    Returns:
        The recipe as `grow_batch` had returned it, to compare it with the run's.
    """
    allowed = {candidate.train.batch_size: candidate for candidate in _grown(recipe)}
    return allowed.get(begun.train.batch_size, recipe)


def _grown(recipe: Recipe) -> Iterator[Recipe]:
    """Yield the recipe with its own batch, then with each doubling that it allows."""
    times = 1
    while times <= recipe.train.batch_growth:
        yield recipe.with_values(
            {
                "train.batch_growth": 1,
                "train.batch_size": times * recipe.train.batch_size,
                "optimizer.lr": math.sqrt(times) * recipe.optimizer.lr,
            }
        )
        times *= 2


def _set_batch(overrides: Sequence[str]) -> bool:
    return any(parse_override(one)[:2] == ("train", "batch_size") for one in overrides)


def _seconds_per_image(recipe: Recipe, device: torch.device) -> float:
    """Time steps, as they are and as CUDA graphs, which a small batch gains more from.

    A batch that does not fit is timed in parts, and gains nothing.
    """
    plain = candidates(recipe, device)[0]
    ways = [plain] if plain.compiled else [plain, replace(plain, cuda_graphs=True)]
    timings = [time_training_step(recipe, CLASSES, way, device) for way in ways]
    return min((timing.seconds for timing in timings if timing), default=math.inf)
