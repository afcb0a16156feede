"""A run whose folds have ended -> everything that its out-of-fold predictions tell, for a report to
show.

Each image is judged by the one member that has not seen it, with the temperature and the sets that
the other folds' images set. Reads the run, changes nothing.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.run import Run
from bestiary.run.tables import read_table
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import COVERAGES, Calibration, Sets
from bestiary.stats.ensemble_gain import pick_optimism
from bestiary.stats.metrics import confusion
from bestiary.stats.ood import OodDetector
from bestiary.stats.scores import class_table, crossfit_parts, crossfit_probabilities, oof_scores

HISTORY = {
    "epoch": pl.Int64,
    "train_loss": pl.Float64,
    "val_accuracy": pl.Float64,
    "images_per_second": pl.Float64,
    "seconds": pl.Float64,
}  # the columns that are shown


@dataclass(frozen=True)
class Results:
    """A run's out-of-fold results; images with conflicting labels are left out of everything.

    Attributes:
        run: the run.
        classes: class names in the order of the logits.
        table: manifest rows of the scored images, with fold and logits.
        labels: class numbers (images,).
        groups: group numbers (images,).
        raw: uncalibrated probabilities (images, classes).
        probabilities: calibrated by the other folds' temperature (images, classes).
        calibration: fitted on all of them, what `predict` uses.
        known: likewise.
        scores: see `oof_scores`.
        per_class: see `class_table`.
        histories: history.csv of each fold, with the columns of `HISTORY`.
    """

    run: Run
    classes: list[str]
    table: pl.DataFrame
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    raw: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    calibration: Calibration
    known: OodDetector
    scores: dict[str, Any]
    per_class: list[dict[str, Any]]
    histories: dict[int, pl.DataFrame]

    @property
    def predicted(self) -> NDArray[np.int64]:
        """Class numbers (images,); the temperature changes none."""
        return np.asarray(self.raw.argmax(axis=1))

    @property
    def hits(self) -> NDArray[np.bool_]:
        """Whether each image was right (images,)."""
        return np.asarray(self.predicted == self.labels)

    @property
    def confidence(self) -> NDArray[np.float64]:
        """Calibrated probability of the predicted class (images,)."""
        return np.asarray(self.probabilities.max(axis=1))

    @property
    def folds(self) -> NDArray[np.int64]:
        """Fold of each image (images,)."""
        return self.table["fold"].to_numpy().astype(np.int64)

    @property
    def confusion(self) -> NDArray[np.int64]:
        """(classes, classes), rows the labels."""
        return confusion(self.predicted, self.labels, len(self.classes))

    @property
    def optimism(self) -> float | None:
        """How much the pick of each fold's best epoch flatters at most (0 to 1); None where
        nothing is picked.
        """
        if not (self.run.read_recipe().train.keep_best and self.run.read_recipe().train.epochs):
            return None
        return pick_optimism(
            [history["val_accuracy"].to_list() for history in self.histories.values()]
        )


def read_results(run: Run) -> Results:
    """Read a run's out-of-fold results.

    Raises:
        RunError: not all folds have ended, or a file is damaged.
    """
    run.check_ended()
    found = read_out_of_fold(run).scored()
    table, classes, logits = found.table, found.classes, found.logits
    labels, groups, folds = found.labels, found.groups, found.folds
    raw, parts = softmax(logits), crossfit_parts(folds, groups)
    return Results(
        run=run,
        classes=classes,
        table=table,
        labels=labels,
        groups=groups,
        raw=raw,
        probabilities=crossfit_probabilities(logits, labels, parts),
        calibration=Calibration.fit(logits, labels),
        known=OodDetector.fit(logits, labels, folds, parts),
        scores=oof_scores(logits, labels, folds, groups),
        per_class=class_table(raw.argmax(axis=1), labels, groups, len(classes)),
        histories={fold: _history(run, fold) for fold in run.fold_numbers()},
    )


def set_scores(results: Results) -> list[dict[str, Any]]:
    """Of the sets for each coverage and kind, by the limits that the other folds set: share that
    hold, mean size.
    """
    logits, parts = (
        results.table["logits"].to_numpy(),
        crossfit_parts(results.folds, results.groups),
    )
    held: dict[tuple[float, Sets], list[NDArray[np.bool_]]] = {}
    sizes: dict[tuple[float, Sets], list[NDArray[np.int64]]] = {}
    kinds: tuple[Sets, ...] = ("all", "class")
    for number in np.unique(parts):
        part = parts == number
        known = Calibration.fit(logits[~part], results.labels[~part])
        probabilities = known.probabilities(logits[None, part], "logits")
        for coverage in COVERAGES:
            for kind in kinds:
                inside = known.set_of(probabilities, coverage, kind)
                held.setdefault((coverage, kind), []).append(
                    inside[np.arange(len(inside)), results.labels[part]]
                )
                sizes.setdefault((coverage, kind), []).append(inside.sum(axis=1))
    return [
        {
            "coverage": coverage,
            "kind": kind,
            "empirical_coverage": float(np.concatenate(held[coverage, kind]).mean()),
            "size": float(np.concatenate(sizes[coverage, kind]).mean()),
        }
        for coverage, kind in held
    ]


def _history(run: Run, fold: int) -> pl.DataFrame:
    """The rows of history.csv; none where heads were fitted and nothing was trained."""
    file = run.fold(fold).history
    if not file.exists():
        return pl.DataFrame(schema=HISTORY)
    return read_table(file, HISTORY).select(HISTORY.keys())
