"""Out-of-fold answers, sites, times and a taxonomy -> scores in the field, and what predict needs.

`bestiary.run.field_scores` reads the scores from metrics.json, and `bestiary.run.field_card` the
rest from field.json. A run without these columns has neither.
"""

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.data.clocks import trust_clocks
from bestiary.evaluation.events import calibrate_events, score_events
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.evaluation.places import place_scores
from bestiary.recipe.options import Recipe
from bestiary.run.field_card import read_sightings
from bestiary.run.taxonomy import Taxonomy
from bestiary.stats.averaging import softmax
from bestiary.stats.calibration import Calibration, fit_temperature
from bestiary.stats.crossfit import crossfit_parts
from bestiary.stats.intervals import share_interval
from bestiary.stats.paired import paired_difference
from bestiary.stats.place_prior import PriorTrial, try_prior
from bestiary.stats.ranks import fit_thresholds, rank_scores

RANK_RISK = 0.05  # share of errors that the scores by rank are told for
LABEL = "label"  # the level of the classes themselves


class FieldFit:
    """Everything that is measured and fitted in the field, for one run.

    Attributes:
        scores: for metrics.json.
        card: for field.json; empty where predict needs nothing more.
    """

    def __init__(
        self,
        recipe: Recipe,
        out_of_fold: OutOfFold,
        calibration: Calibration,
        taxonomy: Taxonomy | None,
    ) -> None:
        """Measure and fit.

        Args:
            recipe: of the run.
            out_of_fold: its logits that may be scored.
            calibration: of the run.
            taxonomy: of the run; None: it has none.
        """
        self.scores: dict[str, Any] = {}
        self.card: dict[str, Any] = {}
        self._out_of_fold = out_of_fold
        self._parts = crossfit_parts(out_of_fold.folds, out_of_fold.groups)
        # Calibrated logits: for scores by the temperature of the other parts, for use by the run's
        self._honest = _crossfit_logits(out_of_fold.logits, out_of_fold.labels, self._parts)
        self._fitted = out_of_fold.logits / calibration.temperature

        if places := place_scores(recipe, out_of_fold):
            self.scores["places"] = places
        self._add_prior()
        self._add_events(recipe)
        self._add_ranks(taxonomy)

    def _add_prior(self) -> None:
        """Try a prior of place and month; if it gains, all that follows is fitted with it."""
        table, labels = self._out_of_fold.table, self._out_of_fold.labels
        sightings = read_sightings(trust_clocks(table))
        if sightings is None or len(np.unique(self._parts)) < 2:
            return
        groups = self._out_of_fold.groups
        trial = try_prior(self._honest, labels, sightings, self._parts, groups)
        self.scores["prior"] = _prior_scores(trial, self._honest, labels, groups)
        if not trial.is_used:
            return
        added = trial.adjusted - self._honest
        self._honest = trial.adjusted
        self._fitted = self._fitted + added
        self.card["prior"] = {
            **asdict(trial.settings),
            "calibration": Calibration.fit(
                self._fitted, labels, self._out_of_fold.leak_groups
            ).to_json(),
        }

    def _add_events(self, recipe: Recipe) -> None:
        scores = score_events(self._out_of_fold)
        if scores is None:
            return
        self.scores["events"] = scores
        calibration = calibrate_events(self._out_of_fold, self._fitted)
        if calibration is not None:
            self.card["events"] = {
                "seconds": recipe.data.event_seconds,
                "calibration": calibration.to_json(),
            }

    def _add_ranks(self, taxonomy: Taxonomy | None) -> None:
        if taxonomy is None or len(np.unique(self._parts)) < 2:
            return
        labels, groups = self._out_of_fold.labels, self._out_of_fold.groups
        levels = rank_levels(taxonomy, self._out_of_fold.classes)
        numbers = list(levels.values())
        leak_groups = self._out_of_fold.leak_groups
        rows = rank_scores(
            softmax(self._honest), labels, numbers, self._parts, groups, RANK_RISK, leak_groups
        )
        self.scores["ranks"] = [
            {"rank": rank, **row} for rank, row in zip(levels, rows, strict=True)
        ]
        fitted = fit_thresholds(softmax(self._fitted), labels, numbers, leak_groups)
        self.card["ranks"] = {
            "levels": list(levels),
            "thresholds": {str(risk): list(values) for risk, values in fitted.items()},
        }


def rank_levels(taxonomy: Taxonomy, classes: list[str]) -> dict[str, NDArray[np.int64]]:
    """List the levels of a taxonomy, the classes first.

    Args:
        taxonomy: of a run.
        classes: in the order of the probabilities.

    Returns:
        Name of the level -> number of each class' taxon (classes,).
    """
    levels = {LABEL: np.arange(len(classes))}
    for rank in taxonomy.ranks:
        levels[rank] = taxonomy.taxa(classes, rank)[1]
    return levels


def _crossfit_logits(
    logits: NDArray[np.floating], labels: NDArray[np.int64], parts: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Divide the logits of each part by the temperature of the other parts."""
    calibrated = np.empty(logits.shape)
    for part in np.unique(parts):
        is_val = parts == part
        is_fit = is_val if is_val.all() else ~is_val
        calibrated[is_val] = logits[is_val] / fit_temperature(logits[is_fit], labels[is_fit])
    return calibrated


def _prior_scores(
    trial: PriorTrial,
    logits: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
) -> dict[str, Any]:
    own = logits.argmax(axis=1) == labels
    helped = trial.adjusted.argmax(axis=1) == labels
    gain = paired_difference(own, helped, groups)
    return {
        "used": trial.is_used,
        "accuracy": asdict(share_interval(helped, groups)),
        "gain": {"value": gain.value, "low": gain.low, "high": gain.high},
        "loss_gain": asdict(trial.gain),
        **asdict(trial.settings),
    }
