"""Advice: measured backbones -> the one to train within a time budget, as a table and a command.

Training time is extrapolated from measured speeds. Accuracy is that of a head on frozen features,
where the pretrained weights are available; what fine-tuning adds is unknown beforehand. Measures
nothing itself.
"""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from textwrap import fill
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.advising.speeds import TrainSpeed
from bestiary.display import format_duration
from bestiary.numbers import counted, percent, percent_range
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import parse_override
from bestiary.screen_table import ScreenTable
from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import Hits, paired_difference
from bestiary.streams import screen_width

COLUMNS = ("backbone", "size", "accuracy", "95 % interval", "training", "latency")
UNEVEN = 3.0  # largest over smallest class, from which on advice is given on it
DEFAULT_FOLDS = 5
CHOSEN = ("folds.n", "model.weights", "view.eval_size")
"""Options that the command states itself, or leaves out on purpose."""


@dataclass(frozen=True)
class Candidate:
    """A backbone at one view size, with its measurements.

    Attributes:
        recipe: that would be trained.
        speed: of one network.
        read_seconds: to read and decode one image.
        hits: whether the head on frozen features predicts each image correctly, (images,); None
            without pretrained weights.
    """

    recipe: Recipe
    speed: TrainSpeed
    read_seconds: float
    hits: Hits | None

    @property
    def latency(self) -> float:
        """Seconds that all members and views take for one image, without reading it."""
        n_views = self.recipe.folds.n * self.recipe.predict.tta
        return n_views * self.speed.single

    def training_seconds(self, images: int, epochs: int) -> float:
        """Extrapolate the time to train all folds, evaluation and frozen features included.

        Args:
            images: in the dataset.
            epochs: of each fold; 0: the head only.
        """
        recipe = self.recipe
        evaluate_one = self.read_seconds + recipe.predict.tta * self.speed.batched
        evaluate_all = images * evaluate_one
        probe = evaluate_all if recipe.model.fits_head else 0.0
        steps = epochs * (recipe.folds.n - 1) * images * self.speed.step

        # The held-out part is scored during training, and predicted at the end.
        n_scored_epochs = epochs if recipe.train.keep_best else min(epochs, 1)
        n_predictions = 1 if epochs > 0 else 0
        return probe + steps + evaluate_all * (n_scored_epochs + n_predictions)


@dataclass(frozen=True)
class Advice:
    """Result of `advise`; as text, a table of candidates and a recommendation.

    Attributes:
        data: the images, as the user named them.
        images: number of images.
        groups: group number of each image that the heads were evaluated on.
        candidates: in the order of measurement.
        budget: seconds of training; None: unlimited.
        latency: seconds an image; None: unlimited.
        chosen: the candidate to train, with the epochs and views that fit; None if none fits.
        base: name or file of the recipe.
        imbalance: images of the largest class for each of the smallest one's.
        overrides: options of the recipe that the user has set.
    """

    data: Path
    images: int
    groups: NDArray[np.int64]
    candidates: list[Candidate]
    budget: float | None
    latency: float | None
    chosen: Candidate | None
    base: str
    imbalance: float = 1.0
    overrides: Sequence[str] = ()

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        chosen = self.chosen
        return {
            "data": self.data,
            "images": self.images,
            "judged_on": len(self.groups),
            "recipe": self.base,
            "budget_seconds": self.budget,
            "latency_seconds": self.latency,
            "imbalance": self.imbalance,
            "candidates": [self._measured(candidate) for candidate in self.candidates],
            "recommended": None if chosen is None else self._measured(chosen),
            "command": None if chosen is None else self._command(chosen.recipe, " "),
        }

    def _measured(self, candidate: Candidate) -> dict[str, Any]:
        recipe, hits = candidate.recipe, candidate.hits
        return {
            "backbone": recipe.model.backbone,
            "size": recipe.view.size,
            "epochs": recipe.train.epochs,
            "views": recipe.predict.tta,
            "accuracy": None if hits is None else share_interval(hits, self.groups),
            "training_seconds": candidate.training_seconds(self.images, recipe.train.epochs),
            "latency_seconds": candidate.latency,
        }

    @property
    def exit_code(self) -> int:
        """1 if no candidate fits, else 0."""
        return int(self.chosen is None)

    def __str__(self) -> str:
        lines = [
            str(self._table()),
            "",
            *self._notes(),
            "",
            *self._recommendation(),
        ]
        return "\n".join(lines)

    def _table(self) -> ScreenTable:
        table = ScreenTable(*COLUMNS)
        for candidate in self.candidates:
            table.add_row(*self._cells(candidate))
        return table

    def _cells(self, candidate: Candidate) -> tuple[str, ...]:
        recipe = candidate.recipe
        accuracy = "unknown"
        interval = "no weights"
        if candidate.hits is not None:
            score = share_interval(candidate.hits, self.groups)
            accuracy = percent(score.value)
            interval = percent_range(score.low, score.high)
        seconds = candidate.training_seconds(self.images, recipe.train.epochs)
        return (
            recipe.model.backbone,
            str(recipe.view.size),
            accuracy,
            interval,
            format_duration(seconds),
            f"{1000 * candidate.latency:.0f} ms",
        )

    def _notes(self) -> list[str]:
        """Say what was measured, what is extrapolated and what is unknown."""
        recipe = self.candidates[0].recipe
        is_sample = len(self.groups) < self.images
        images = f"{len(self.groups):,} of the images" if is_sample else "the images"
        texts = [
            f"Measured on {images}: out-of-fold accuracy of a linear head on the frozen network "
            f"(bestiary probe). Measured on this machine, with random images and weights: a few "
            f"training steps and predictions.",
            f"Extrapolated from these: training, {counted(recipe.folds.n, 'fold')} of "
            f"{recipe.train.epochs} epochs by recipe {self.base}, {counted(self.images, 'image')}; "
            f"latency of one image by {counted(recipe.folds.n, 'member')} with "
            f"{counted(recipe.predict.tta, 'view')} each, reading it not included.",
            "Not known beforehand: what fine-tuning adds to the head's accuracy.",
        ]
        if self.imbalance >= UNEVEN:
            texts.append(
                f"Uneven classes: the largest has {self.imbalance:.0f} times the images of the "
                f"smallest. Train as usual; where rare classes should count as much "
                f"as large ones, bestiary predict --costs balanced decides so, or train with "
                f"--set loss.logit_adjustment=1. Class weights and balanced sampling have lost "
                f"accuracy there (docs/benchmarks/accuracy.md)."
            )
        return [
            fill(text, screen_width(), subsequent_indent="  ", break_on_hyphens=False)
            for text in texts
        ]

    def _recommendation(self) -> list[str]:
        bounds = " and ".join(self._bounds())
        if self.chosen is None:
            bound = f" {bounds}" if bounds else ""
            folds = self.candidates[0].recipe.folds.n
            fewer = ", or fewer folds (--folds 2)" if bounds and folds > 2 else ""
            more = f" Give more{fewer}." if bounds else ""
            text = f"Nothing fits{bound}, with weights at hand.{more}"
            return [fill(text, screen_width())]
        recipe = self.chosen.recipe
        seconds = self.chosen.training_seconds(self.images, recipe.train.epochs)
        within = f", within {bounds}" if bounds else ""
        text = (
            f"Recommended{within}: {recipe.model.backbone} at {recipe.view.size} pixels, "
            f"{counted(recipe.train.epochs, 'epoch')}; expected to take {format_duration(seconds)}."
        )
        return [fill(text, screen_width(), break_on_hyphens=False), "", self._command(recipe)]

    def _bounds(self) -> list[str]:
        bounds = []
        if self.budget is not None:
            bounds.append(f"{format_duration(self.budget)} of training")
        if self.latency is not None:
            bounds.append(f"{1000 * self.latency:g} ms an image")
        return bounds

    def _command(self, recipe: Recipe, separator: str = " \\\n    ") -> str:
        """Compose a command to paste, an option a line."""
        data = shlex.quote(str(self.data))
        lines = [f"bestiary train {data} RUN --recipe {shlex.quote(self.base)} --set"]
        lines.append(f"model.backbone={recipe.model.backbone}")
        lines.append(f"view.size={recipe.view.size}")
        if recipe.view.eval_size:
            lines.append(f"view.eval_size={recipe.view.eval_size}")
        lines.append(f"model.freeze={recipe.model.freeze}")
        lines.append(f"train.epochs={recipe.train.epochs}")
        lines.append(f"predict.tta={recipe.predict.tta}")
        if recipe.folds.n != DEFAULT_FOLDS:
            lines.append(f"folds.n={recipe.folds.n}")
        chosen = {*CHOSEN, *(line.partition("=")[0] for line in lines)}
        for override in self.overrides:
            section, key, _ = parse_override(override)
            if f"{section}.{key}" not in chosen:
                lines.append(shlex.quote(override))
        return separator.join(lines)


def recommend(
    candidates: Sequence[Candidate],
    images: int,
    groups: NDArray[np.int64],
    budget: float | None,
    latency: float | None,
) -> Candidate | None:
    """Choose the candidate to train.

    The most accurate candidate that fits is the reference. Among the candidates that are not
    significantly worse, by the interval of the paired difference, the choice is the one with the
    most epochs, and then the fastest.

    Args:
        candidates: measured; those without weights are never chosen.
        images: in the dataset.
        groups: group number of each image that the heads were evaluated on.
        budget: seconds of training; None: unlimited.
        latency: seconds an image; None: unlimited.

    Returns:
        The choice, with as many of the recipe's epochs as fit, and with one view if it must be
        fast; None if none fits.
    """
    fitting: list[Candidate] = []
    for candidate in candidates:
        if candidate.hits is None:
            continue
        fitted = _fit_to_bounds(candidate, images, budget, latency)
        if fitted is not None:
            fitting.append(fitted)
    if not fitting:
        return None

    def accuracy(candidate: Candidate) -> float:
        return float(np.mean(_hits(candidate)))

    def most_epochs_then_fastest(candidate: Candidate) -> tuple[int, float]:
        epochs = candidate.recipe.train.epochs
        seconds = candidate.training_seconds(images, epochs)
        return -epochs, seconds

    def is_as_good(candidate: Candidate) -> bool:
        difference = paired_difference(_hits(best), _hits(candidate), groups)
        return difference.high >= 0

    best = max(fitting, key=accuracy)
    as_good = filter(is_as_good, fitting)
    return min(as_good, key=most_epochs_then_fastest)


def _hits(candidate: Candidate) -> Hits:
    assert candidate.hits is not None
    return candidate.hits


def _fit_to_bounds(
    candidate: Candidate, images: int, budget: float | None, latency: float | None
) -> Candidate | None:
    """Reduce views to fit the latency, then epochs to fit the budget; None if nothing fits."""
    recipe = candidate.recipe
    within_latency = [
        views
        for views in (recipe.predict.tta, 1)
        if _with(candidate, views, 1).latency <= (latency or math.inf)
    ]
    if not within_latency:
        return None
    min_epochs = 0 if recipe.model.fits_head else 1
    for epochs in range(recipe.train.epochs, min_epochs - 1, -1):
        fitted = _with(candidate, within_latency[0], epochs)
        if fitted.training_seconds(images, epochs) <= (budget or math.inf):
            return fitted
    return None


def _with(candidate: Candidate, views: int, epochs: int) -> Candidate:
    values = {
        "predict.tta": views,
        "train.epochs": epochs,
    }
    recipe = candidate.recipe.with_values(values)
    return replace(candidate, recipe=recipe)
