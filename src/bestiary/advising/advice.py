"""What was measured of some backbones -> the one to train within a budget of time, and the command
for it.

Measured are the speed of each, and the accuracy of a head on its frozen features where its weights
are at hand; what training takes is extrapolated from speeds, and what fine-tuning gains is not
known before. Measures nothing itself.
"""

import math
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import fill

import numpy as np
from numpy.typing import NDArray
from rich.table import Table

from bestiary.advising.speeds import TrainSpeed
from bestiary.display import clock, on_screen
from bestiary.recipe.options import Recipe
from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import Hits, paired_difference


@dataclass(frozen=True)
class Candidate:
    """A backbone at a size, and what was measured of it.

    Attributes:
        recipe: that would be trained.
        speed: of one network.
        reading: seconds to read an image.
        hits: whether the head on frozen features has each image right (images,); None without
            weights.
    """

    recipe: Recipe
    speed: TrainSpeed
    reading: float
    hits: Hits | None

    @property
    def latency(self) -> float:
        """Seconds until all members and views have answered for one image that is read already."""
        return self.recipe.folds.n * self.recipe.predict.tta * self.speed.single

    def seconds(self, images: int, epochs: int) -> float:
        """What `epochs` of training in every fold would take on so many images, scoring and
        features included.
        """
        folds, views = self.recipe.folds.n, self.recipe.predict.tta
        look = self.reading + views * self.speed.many
        probe = images * look if self.recipe.model.head == "lda" else 0.0
        scored = epochs if self.recipe.train.keep_best else min(epochs, 1)
        stepping = epochs * (folds - 1) * images * self.speed.step
        return probe + stepping + images * look * (scored + (epochs > 0))


@dataclass(frozen=True)
class Advice:
    """What `advise` prints.

    Attributes:
        data: the images, as the user named them.
        images: how many there are.
        groups: group number of each image that the heads were judged by.
        candidates: in the order that they were measured in.
        budget: seconds; None: no bound.
        latency: seconds; None: no bound.
        chosen: the candidate to train, its recipe with the epochs that fit; None where nothing
            fits.
        base: the recipe's name or file.
    """

    data: Path
    images: int
    groups: NDArray[np.int64]
    candidates: list[Candidate]
    budget: float | None
    latency: float | None
    chosen: Candidate | None
    base: str

    @property
    def exit_code(self) -> int:
        """1 where nothing fits."""
        return int(self.chosen is None)

    def __str__(self) -> str:
        table = Table(box=None, pad_edge=False, padding=(0, 1))
        for name in ("backbone", "size", "accuracy", "95 % interval", "training", "latency"):
            table.add_column(
                name, justify="left" if name == "backbone" else "right", overflow="fold"
            )
        for candidate in self.candidates:
            table.add_row(*self._cells(candidate))
        return "\n".join([on_screen(table), "", *self._notes(), "", *self._recommendation()])

    def _cells(self, candidate: Candidate) -> tuple[str, ...]:
        recipe = candidate.recipe
        accuracy, interval = "unknown", "no weights"
        if candidate.hits is not None:
            score = share_interval(candidate.hits, self.groups)
            accuracy, interval = f"{score.value:.4f}", f"{score.low:.3f} to {score.high:.3f}"
        training = clock(candidate.seconds(self.images, recipe.train.epochs))
        latency = f"{1000 * candidate.latency:.0f} ms"
        return recipe.model.backbone, str(recipe.view.size), accuracy, interval, training, latency

    def _notes(self) -> list[str]:
        recipe = self.candidates[0].recipe
        judged = (
            f"on {len(self.groups):,} of the images"
            if len(self.groups) < self.images
            else "on the images"
        )
        texts = (
            f"Measured {judged}: out-of-fold accuracy of a linear head on the frozen network "
            f"(bestiary probe), and on "
            "this machine a few training steps and predictions, on random images and weights.",
            f"Extrapolated from these: training, {recipe.folds.n} folds of {recipe.train.epochs} "
            f"epochs by recipe "
            f"{self.base}, {self.images:,} images; latency of one image by {recipe.folds.n} "
            f"members with "
            f"{recipe.predict.tta} views each, reading it not included.",
            "Not known beforehand: what fine-tuning adds to the head's accuracy.",
        )
        return [fill(text, 80, subsequent_indent="  ", break_on_hyphens=False) for text in texts]

    def _recommendation(self) -> list[str]:
        bounds = [f"{clock(self.budget)} of training"] if self.budget is not None else []
        bounds += [f"{1000 * self.latency:g} ms an image"] if self.latency is not None else []
        if self.chosen is None:
            bound = f" {' and '.join(bounds)}" if bounds else ""
            return [
                fill(
                    f"Nothing fits{bound}, with weights at hand. Give more, or fewer folds (--set "
                    f"folds.n=3).",
                    80,
                )
            ]
        recipe, seconds = (
            self.chosen.recipe,
            self.chosen.seconds(self.images, self.chosen.recipe.train.epochs),
        )
        within = f", within {' and '.join(bounds)}" if bounds else ""
        text = (
            f"Recommended{within}: {recipe.model.backbone} at {recipe.view.size} pixels, "
            f"{recipe.train.epochs} epochs; "
            f"expected to take {clock(seconds)}."
        )
        return [fill(text, 80, break_on_hyphens=False), "", *self._command(recipe)]

    def _command(self, recipe: Recipe) -> list[str]:
        options = [f"model.backbone={recipe.model.backbone}", f"view.size={recipe.view.size}"]
        options += [
            f"{key}={value}" for key, value in (("view.eval_size", recipe.view.eval_size),) if value
        ]
        options += [f"model.freeze={recipe.model.freeze}"]
        options += [f"train.epochs={recipe.train.epochs}", f"predict.tta={recipe.predict.tta}"]
        if recipe.folds.n != 5:
            options.append(f"folds.n={recipe.folds.n}")
        lines = [
            f"bestiary train {shlex.quote(str(self.data))} RUN --recipe {shlex.quote(self.base)} "
            f"--set"
        ]
        return [" \\\n    ".join([*lines, *options])]


def recommend(
    candidates: Sequence[Candidate],
    images: int,
    groups: NDArray[np.int64],
    budget: float | None,
    latency: float | None,
) -> Candidate | None:
    """The candidate to train, with as many of the recipe's epochs as fit, and one view where it
    must be fast.

    Of those that fit with weights at hand, the most accurate is taken, or the one that takes least
    time among those whose accuracy does not differ from its: the interval of the paired difference
    holds zero.
    """
    fitting = [
        fit
        for c in candidates
        if c.hits is not None and (fit := _fitted(c, images, budget, latency))
    ]
    if not fitting:
        return None
    best = max(fitting, key=lambda c: float(np.mean(c.hits)))  # type: ignore[arg-type]
    assert best.hits is not None
    as_good = [
        c
        for c in fitting
        if c.hits is not None and paired_difference(best.hits, c.hits, groups).high >= 0
    ]
    return min(
        as_good, key=lambda c: (-c.recipe.train.epochs, c.seconds(images, c.recipe.train.epochs))
    )


def _fitted(
    candidate: Candidate, images: int, budget: float | None, latency: float | None
) -> Candidate | None:
    """The candidate with the epochs and views that fit; None where not even one epoch or one
    view does.
    """
    recipe = candidate.recipe
    views = next(
        (
            v
            for v in (recipe.predict.tta, 1)
            if _with(candidate, v, 1).latency <= (latency or math.inf)
        ),
        None,
    )
    if views is None:
        return None
    least = 0 if recipe.model.head == "lda" else 1
    for epochs in range(recipe.train.epochs, least - 1, -1):
        fitted = _with(candidate, views, epochs)
        if fitted.seconds(images, epochs) <= (budget or math.inf):
            return fitted
    return None


def _with(candidate: Candidate, views: int, epochs: int) -> Candidate:
    recipe = candidate.recipe
    changed = recipe.with_values({"predict.tta": views, "train.epochs": epochs})
    return Candidate(changed, candidate.speed, candidate.reading, candidate.hits)
