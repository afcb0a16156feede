"""A finished run -> its out-of-fold results: scores, calibration, class table, confusion, history.

Reports are made from these. Each image is scored by the one member that was not trained on it, with
the temperature and the prediction sets of the other folds. Reads the run and changes nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.details import stage
from bestiary.evaluation.finish import fit_ood
from bestiary.evaluation.judged import Judged
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.recipe.choices import Sets
from bestiary.run.field_scores import FieldScores, read_field_scores
from bestiary.run.history import read_history
from bestiary.run.run import Run, RunSnapshot
from bestiary.run.unknown_file import UnknownRecord, read_unknown
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import COVERAGES, Calibration
from bestiary.stats.crossfit import crossfit_parts, crossfit_probabilities
from bestiary.stats.ensemble_gain import pick_optimism
from bestiary.stats.ood import OodDetector
from bestiary.stats.scores import class_table, oof_scores

SET_KINDS: tuple[Sets, ...] = get_args(Sets)

Crossfit = tuple[Calibration, NDArray[np.float64], NDArray[np.int64]]
"""A part's calibration by the other parts, its probabilities and its labels."""


@dataclass(frozen=True)
class Results(Judged):
    """A run's out-of-fold results, without images with a label conflict.

    Attributes:
        snapshot: recipe, manifest and folds of the run.
        out_of_fold: the scored images, with their labels, groups, folds and logits.
        raw: uncalibrated probabilities (images, classes).
        probabilities: calibrated by the temperature of the other folds (images, classes).
        calibration: fitted on all images, as `predict` uses it.
        ood: out-of-distribution detector, fitted on all images.
        unknown: how well it tells left-out classes; None: none was left out.
        scores: see `oof_scores`.
        per_class: see `class_table`.
        histories: history.csv of each fold, with `HISTORY_COLUMNS`.
        field: scores at known and new sites, by event and by rank, as far as they were measured.
    """

    snapshot: RunSnapshot
    out_of_fold: OutOfFold
    raw: NDArray[np.float64]
    probabilities: NDArray[np.float64]
    calibration: Calibration
    ood: OodDetector
    unknown: UnknownRecord | None
    scores: dict[str, Any]
    per_class: list[dict[str, Any]]
    histories: dict[int, pl.DataFrame]
    field: FieldScores

    @property
    def run(self) -> Run:
        """The run."""
        return self.snapshot.run

    @property
    def classes(self) -> list[str]:
        """Class names in the order of the logits."""
        return self.out_of_fold.classes

    @property
    def table(self) -> pl.DataFrame:
        """Manifest rows of the scored images, with fold and logits."""
        return self.out_of_fold.table

    @property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers (images,)."""
        return self.out_of_fold.labels

    @property
    def groups(self) -> NDArray[np.int64]:
        """Group numbers (images,)."""
        return self.out_of_fold.groups

    @property
    def folds(self) -> NDArray[np.int64]:
        """Fold of each image (images,)."""
        return self.out_of_fold.folds

    @cached_property
    def predicted(self) -> NDArray[np.int64]:
        """Predicted class numbers (images,); calibration changes none."""
        return np.asarray(self.raw.argmax(axis=1))

    @property
    def picks_epochs(self) -> bool:
        """Whether each member is from the epoch that is best on the fold's own images."""
        train = self.snapshot.recipe.train
        return train.keep_best and train.epochs > 0

    @cached_property
    def optimism(self) -> float | None:
        """Upper estimate of the optimism of picking each fold's best epoch, 0 to 1.

        None where the members are from the last epoch, or fewer than two folds have their history.
        """
        if not self.picks_epochs:
            return None
        histories = [history for history in self.histories.values() if history.height]
        curves = [history["val_accuracy"].to_list() for history in histories]
        return pick_optimism(curves) if len(curves) > 1 else None


@stage("Reading the results")
def read_results(run: Run) -> Results:
    """Read a run's out-of-fold results.

    Args:
        run: a run whose folds have ended.

    Returns:
        The results.

    Raises:
        RunError: not all folds have ended, or a file is damaged.
    """
    snapshot = run.load()
    every_fold = read_out_of_fold(snapshot)
    out_of_fold = every_fold.scorable()
    raw = softmax(out_of_fold.logits)
    predicted = raw.argmax(axis=1)
    parts = crossfit_parts(out_of_fold.folds, out_of_fold.groups)
    histories = read_histories(run, snapshot.folds)
    unknown = read_unknown(run)
    return Results(
        snapshot=snapshot,
        out_of_fold=out_of_fold,
        raw=raw,
        probabilities=crossfit_probabilities(out_of_fold.logits, out_of_fold.labels, parts),
        calibration=Calibration.fit(
            out_of_fold.logits, out_of_fold.labels, out_of_fold.leak_groups
        ),
        ood=fit_ood(every_fold, unknown.score if unknown else "energy"),
        unknown=unknown,
        scores=oof_scores(
            out_of_fold.logits,
            out_of_fold.labels,
            out_of_fold.folds,
            out_of_fold.groups,
            len(snapshot.folds),
        ),
        per_class=class_table(
            predicted, out_of_fold.labels, out_of_fold.groups, len(out_of_fold.classes)
        ),
        histories=histories,
        field=read_field_scores(run),
    )


def prediction_set_scores(results: Results) -> list[dict[str, Any]]:
    """Measure the prediction sets of every coverage and kind, with the limits of the other folds.

    Args:
        results: out-of-fold results of a run.

    Returns:
        For each coverage and kind: coverage, kind, empirical_coverage and size, the mean number of
        classes in a set.
    """
    crossfits = list(_crossfit_calibrations(results))
    rows = []
    for coverage in COVERAGES:
        for kind in SET_KINDS:
            rows.append(_set_scores(crossfits, coverage, kind))
    return rows


def _set_scores(
    crossfits: Sequence[Crossfit],
    coverage: float,
    kind: Sets,
) -> dict[str, Any]:
    """Measure the prediction sets of one coverage and kind."""
    is_covered = []
    sizes = []
    for calibration, probabilities, labels in crossfits:
        inside = calibration.set_mask(probabilities, coverage, kind)
        images = np.arange(len(labels))
        is_covered.append(inside[images, labels])
        sizes.append(inside.sum(axis=1))
    return {
        "coverage": coverage,
        "kind": kind,
        "empirical_coverage": float(np.concatenate(is_covered).mean()),
        "size": float(np.concatenate(sizes).mean()),
    }


def _crossfit_calibrations(results: Results) -> Iterator[Crossfit]:
    """Yield the calibration of the other parts, probabilities and labels, for each part."""
    logits = results.out_of_fold.logits
    leak_groups = results.out_of_fold.leak_groups
    parts = crossfit_parts(results.folds, results.groups)
    for part in np.unique(parts):
        is_val = parts == part
        is_fit = ~is_val
        calibration = Calibration.fit(logits[is_fit], results.labels[is_fit], leak_groups[is_fit])
        probabilities = calibration.probabilities(logits[None, is_val], "logits")
        yield calibration, probabilities, results.labels[is_val]


def read_histories(run: Run, folds: Sequence[int]) -> dict[int, pl.DataFrame]:
    """Read history.csv of each fold, ended or not, with `HISTORY_COLUMNS`.

    Args:
        run: the run.
        folds: their numbers.

    Returns:
        Fold -> one row an epoch; none where only a head was fitted, or no epoch has ended.

    Raises:
        DamagedError: a file is damaged, or not of its fold.
    """
    epochs = run.read_recipe().train.epochs
    return {fold: read_history(run.fold(fold), epochs) for fold in folds}
