"""A run -> its learning curve with a forecast for twice the images, as lines for the terminal."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from bestiary.errors import RunError
from bestiary.evaluation.learning_curve import MIN_PER_CLASS, learning_curve
from bestiary.evaluation.results import read_results
from bestiary.numbers import count, percent, percent_range, plain_name, points, points_range
from bestiary.printable import shell_name
from bestiary.run.run import Run
from bestiary.stats.intervals import Interval
from bestiary.stats.learning_curve import MAX_FACTOR, LearningCurve

SHOWN_CLASSES = 8
NAME_WIDTH = 24


@dataclass(frozen=True)
class Curve:
    """A learning curve and what it says.

    Attributes:
        curve: accuracies with fewer images, in all and by class.
        classes: class names in the order of the curve's.
        run: place of the run.
    """

    curve: LearningCurve
    classes: list[str]
    run: str

    @property
    def forecast(self) -> Interval:
        """Accuracy to be expected of twice as many images."""
        return self.curve.forecast()

    @property
    def by_class(self) -> list[tuple[str, Interval, Interval]]:
        """Scored classes by name, recall now and with twice the images; most to gain first."""
        scored = np.flatnonzero(self.curve.class_images)
        rows = [
            (self.classes[n], self.curve.class_recall(n), self.curve.class_forecast(n))
            for n in scored.tolist()
        ]
        return sorted(rows, key=lambda row: (row[1].value - row[2].value, row[0]))

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        curve = self.curve
        columns = zip(curve.shares, curve.images_per_class, curve.accuracies, strict=True)
        return {
            "run": self.run,
            "draws": len(curve.by_draw),
            "images": curve.images,
            "sizes": [
                {"share": share, "images_per_class": size, "accuracy": accuracy}
                for share, size, accuracy in columns
            ],
            "forecast": self.forecast,
            "gain": curve.gain(),
            "classes": [
                {"label": label, "recall": now, "forecast": then}
                for label, now, then in self.by_class
            ],
        }

    def __str__(self) -> str:
        return "\n".join([*self._size_lines(), *self._gain_lines(), *self._class_lines()])

    def _size_lines(self) -> list[str]:
        curve = self.curve
        lines = [
            f"Heads on the frozen network, {count(len(curve.by_draw), 'draw')}; each image is "
            f"scored by a fold held out.",
            f"{'training images':<18}{'a class':>8}{'accuracy':>12}   95 % interval",
        ]
        for share, size, accuracy in zip(
            curve.shares, curve.images_per_class, curve.accuracies, strict=True
        ):
            name = "all" if share == 1 else f"1/{1 / share:.0f}"
            lines.append(_row(name, size, accuracy))
        twice = curve.images_per_class[-1] * MAX_FACTOR
        return [*lines, _row("twice (forecast)", twice, self.forecast)]

    def _gain_lines(self) -> list[str]:
        gain = self.curve.gain()
        return [
            f"Twice as many images: {points(gain.value)} points "
            f"({points_range(gain.low, gain.high)}), if they are of the same kind.",
            f"{count(self.curve.images, 'image')} scored, all draws together.",
        ]

    def _class_lines(self) -> list[str]:
        rows = self.by_class
        lines = [
            "",
            f"{'class':<{NAME_WIDTH}}{'recall':>9}   {'95 % interval':<16}{'with twice':>11}",
        ]
        for name, now, then in rows[:SHOWN_CLASSES]:
            lines.append(
                f"{plain_name(name)[: NAME_WIDTH - 1]:<{NAME_WIDTH}}{percent(now.value):>9}   "
                f"{percent_range(now.low, now.high):<16}{percent(then.value):>11}"
            )
        if len(rows) > SHOWN_CLASSES:
            lines.append(f"and {len(rows) - SHOWN_CLASSES} more with less to gain")
        lines.append("Assumed: the mistakes of a class fall as those of all.")
        lines.append("Which images to label next:")
        return [*lines, f"  bestiary next {shell_name(self.run)} NEW_IMAGES"]


def _row(name: str, size: float, accuracy: Interval) -> str:
    interval = percent_range(accuracy.low, accuracy.high)
    return f"{name:<18}{size:>8.1f}{percent(accuracy.value):>12}   {interval}"


def measure_curve(run: Run) -> Curve:
    """Measure the learning curve of a run.

    Args:
        run: a run whose folds have ended.

    Returns:
        The curve.

    Raises:
        RunError: the features are not cached here, or there are too few images or folds.
    """
    results = read_results(run)
    curve = learning_curve(results)
    if curve is None:
        raise RunError(
            f"{run.place}: no curve can be made: its features are not in this machine's cache, or "
            f"it has fewer than two folds or {MIN_PER_CLASS} training images a class; probe the "
            "images here: bestiary probe DATA NEW_RUN, then name that run"
        )
    return Curve(curve, results.classes, run.place)
