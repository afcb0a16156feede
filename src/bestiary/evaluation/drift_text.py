"""New images of a run -> a drift report: what the test finds, and what carries it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.drift_features import both_features
from bestiary.evaluation.drifting import AccuracyEstimate, World, describe_drift
from bestiary.evaluation.new_images import read_new_images
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.numbers import counted, percent, percent_range, plain_name
from bestiary.printable import printable_name
from bestiary.recipe.sections import DataOptions
from bestiary.run.run import Run
from bestiary.stats.drift import Drift
from bestiary.stats.intervals import Interval
from bestiary.streams import screen_width

SHOWN = 5
NAME_WIDTH = 24


@dataclass(frozen=True)
class DriftReport:
    """What `drift` has found.

    Attributes:
        drift: result of the test.
        expected: accuracy to be expected, if the world is the same.
        estimate_error: by how much such an estimate was wrong on the run's folds.
        images: new images with path, label and score, the least like the run's images first.
        classes: class names of the run.
        trained: images that the run was trained on, left out.
        groups: groups of the new images: bursts, events and equal files count once.
        by: what was compared: features of the frozen network, or the members' logits where the
            cache lacks the features of the run's images.
    """

    drift: Drift
    expected: Interval
    estimate_error: float
    images: pl.DataFrame
    classes: list[str]
    trained: int
    groups: int
    by: Literal["features", "logits"]

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "drift": self.drift,
            "expected_accuracy": self.expected,
            "estimate_error": self.estimate_error,
            "left_out": self.trained,
            "groups": self.groups,
            "by": self.by,
            "classes": [
                {"label": self.classes[number], "auc": auc, "new": new, "reference": old}
                for number, (auc, old, new) in self.drift.by_class.items()
            ],
            "images": self.images,
        }

    def __str__(self) -> str:
        expected = self.expected
        lines = [
            *_verdict_lines(describe_drift(self.drift)),
            "Compared class by class, so other shares of the classes are no change.",
            self._compared(),
            *self._assumed(),
            f"Expected accuracy: {percent(expected.value)} "
            f"({percent_range(expected.low, expected.high)}), by mean confidence.",
            f"  On folds held out, that was wrong by {100 * self.estimate_error:.1f} points."
            + (" After a drift it may be wrong by more." if self.drift.changed else ""),
        ]
        if self.trained:
            lines.append(f"Left out: {counted(self.trained, 'image')} that the run was trained on.")
        if self.drift.changed:
            lines += self._carriers()
        return "\n".join(lines)

    def _compared(self) -> str:
        """What was compared."""
        if self.by == "features":
            return "Compared by features of the frozen network, which show changes of the scene."
        return (
            "Compared by logits: the run's features are not in this machine's cache.\n"
            "  bestiary probe of its images, with its backbone and view, computes them."
        )

    def _assumed(self) -> list[str]:
        """What counts once."""
        images = self.images.height
        if self.groups < images:
            return [
                f"{counted(images, 'image')} in {counted(self.groups, 'group')}: images of one "
                "burst, event or file count once."
            ]
        return [
            "Assumed: each image counts for itself. Bursts are found by time and camera",
            "  (EXIF, or the columns site and time of a table).",
        ]

    def _carriers(self) -> list[str]:
        """The classes and images that differ most."""
        by_class = sorted(self.drift.by_class.items(), key=lambda item: -item[1][0])
        lines = [f"{'most changed as':<{NAME_WIDTH}}{'AUC':>6}{'new':>8}{'the run':>10}"]
        for number, (auc, old, new) in by_class[:SHOWN]:
            name = plain_name(self.classes[number])[: NAME_WIDTH - 1]
            lines.append(f"{name:<{NAME_WIDTH}}{auc:>6.2f}{new:>8,}{old:>10,}")
        lines.append("The images that are least alike:")
        lines += [f"  {printable_name(path)}" for path in self.images["path"].head(SHOWN)]
        lines.append(
            "Next: label some of them, and evaluate the run: bestiary evaluate RUN LABELED"
        )
        return lines


def measure_drift(
    run: Run,
    ensemble: Ensemble,
    images: Sequence[Path],
    display: Display,
    options: DataOptions,
) -> DriftReport:
    """Compare new images with those of a run.

    Args:
        run: a run whose folds have ended.
        ensemble: of the run.
        images: folder, table or images.
        display: shows the progress.
        options: how the images are listed.

    Returns:
        The report.

    Raises:
        DataError: no new image can be read.
        RunError: the run is not finished, or damaged.
    """
    known = read_out_of_fold(run.load()).without_conflicts()
    world = World.of(known)
    new = read_new_images(run, ensemble, images, display, options)
    features = both_features(run.read_recipe(), known, new, display)
    drift = world.compare(new.logits, new.groups, features)
    estimate = AccuracyEstimate.of(known.scorable())
    probabilities = ensemble.probabilities(new.logits)
    table = pl.DataFrame(
        {
            "path": new.paths,
            "label": ensemble.classes_[probabilities.argmax(axis=1)],
            "score": drift.scores,
        }
    )
    return DriftReport(
        drift,
        estimate.expected_accuracy(probabilities.max(axis=1)),
        estimate.error,
        table.with_columns(pl.col("score").fill_nan(None)).sort(
            "score", descending=True, nulls_last=True
        ),
        ensemble.classes_.tolist(),
        new.trained,
        new.n_groups,
        "logits" if features is None else "features",
    )


def _verdict_lines(verdict: str) -> list[str]:
    """Put the numbers of a verdict on a line of their own where one line is too short for all."""
    if len(verdict) <= screen_width():
        return [verdict]
    return verdict.replace(" (", "\n  (", 1).splitlines()
