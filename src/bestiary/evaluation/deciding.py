"""A run, a precision and costs -> the rules that its ensemble decides by, and what they are worth.

Everything is learnt from the run's out-of-fold predictions, whose classes are known. Trains
nothing.
"""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.ensemble.card import read_card
from bestiary.ensemble.decisions import Decisions
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.evaluation.cascading import read_answered
from bestiary.evaluation.cost_table import read_costs
from bestiary.evaluation.out_of_fold import OutOfFold
from bestiary.numbers import count, percent, plain_name
from bestiary.run.run import Run
from bestiary.stats.cascade import Cascade
from bestiary.stats.class_promises import ClassPromises
from bestiary.stats.costs import CostComparison, balanced_costs, compare_costs
from bestiary.stats.crossfit import crossfit_parts, crossfit_probabilities

BALANCED = "balanced"  # in place of a file of costs
MAX_NAMED = 6  # classes that a line names


def apply_decisions(
    run: Run,
    ensemble: Ensemble,
    promise: float | None,
    costs: str | Path | None,
    cascade: Cascade | None = None,
) -> list[str]:
    """Learn the rules that a user asks for, and let an ensemble decide by them.

    Args:
        run: the run.
        ensemble: its ensemble; `Ensemble.decisions` is set.
        promise: least precision of each class's label, above 0.5 and below 1; None: not asked for.
        costs: a file of costs, or ``balanced``; None: not given.
        cascade: by which images stop early; None: none does.

    Returns:
        Lines that tell a reader what the rules are worth out of fold.

    Raises:
        ArgumentError: the precision is out of range, the costs do not fit the run, or the number of
            views is not that of the out-of-fold predictions.
        RunError: a fold has not ended.
    """
    if promise is None and costs is None:
        return []
    if promise is not None and not 0.5 < promise < 1:
        raise ArgumentError(f"--promise {promise:g}: give a share of right labels, such as 0.95")
    option = "--promise" if promise is not None else "--costs"
    views = read_card(run).tta
    if ensemble.tta != views:
        raise ArgumentError(
            f"{option}: is learnt from predictions of {views} views; leave --tta out"
        )
    out_of_fold = read_answered(run, cascade)
    notices = []
    promises = None
    matrix = None
    if promise is not None:
        promises = _learn_promises(ensemble, out_of_fold, promise)
        notices.append(describe_promises(promises, out_of_fold.classes))
    if costs is not None:
        matrix = _read_costs(out_of_fold, costs)
        notices.append(describe_costs(_compare(out_of_fold, matrix)))
    ensemble.decisions = Decisions(promises, matrix)
    return notices


def _learn_promises(ensemble: Ensemble, out_of_fold: OutOfFold, precision: float) -> ClassPromises:
    """Fit thresholds to the confidence that the ensemble's answers have."""
    probabilities = ensemble.probabilities(out_of_fold.logits[None], "logits")
    return ClassPromises.fit(probabilities, out_of_fold.labels, out_of_fold.groups, precision)


def _read_costs(out_of_fold: OutOfFold, costs: str | Path) -> NDArray[np.float64]:
    if str(costs) != BALANCED:
        return read_costs(Path(costs), out_of_fold.classes)
    counts = np.bincount(out_of_fold.labels, minlength=len(out_of_fold.classes))
    return balanced_costs(counts / counts.sum())


def _compare(out_of_fold: OutOfFold, costs: NDArray[np.float64]) -> CostComparison:
    """Compare by probabilities that other folds have calibrated."""
    parts = crossfit_parts(out_of_fold.folds, out_of_fold.groups)
    probabilities = crossfit_probabilities(out_of_fold.logits, out_of_fold.labels, parts)
    return compare_costs(probabilities, out_of_fold.labels, out_of_fold.groups, costs)


def describe_promises(promises: ClassPromises, classes: list[str]) -> str:
    """Say which classes a precision can be promised for, and which not.

    Args:
        promises: of the classes.
        classes: their names.

    Returns:
        One paragraph.
    """
    can = promises.can_promise
    share = promises.reached[can].sum() / max(1, promises.labeled.sum())
    promised = (
        f"Promise of {percent(promises.precision)} precision: {int(can.sum())} of "
        f"{count(len(can), 'class', 'classes')}, each with {percent(0.95, 0)} certainty; "
        f"{percent(float(share))} of out-of-fold images reach theirs (column promised)"
    )
    if can.all():
        return promised
    short = [
        f"{plain_name(classes[number])} ({promises.labeled[number]})"
        for number in np.flatnonzero(~can)[:MAX_NAMED]
    ]
    more = int((~can).sum()) - len(short)
    further = f" and {more} more" if more > 0 else ""
    return (
        f"{promised}. Cannot be promised: {', '.join(short)}{further}. That takes "
        f"{promises.least_images} images with the label and no error, more with errors; in "
        f"parentheses: how many have it. Ask for less, or label more"
    )


def describe_costs(comparison: CostComparison) -> str:
    """Say what the answers of least expected cost save.

    Args:
        comparison: with the likeliest classes, out of fold.

    Returns:
        One line.
    """
    saved = comparison.saved
    return (
        f"Costs (column decision): out of fold {comparison.least:.3g} an image instead of "
        f"{comparison.usual:.3g} by the likeliest class; saved {saved.value:.3g} "
        f"[{saved.low:.3g}, {saved.high:.3g}], {comparison.changed:,} of "
        f"{count(comparison.images, 'image')} are decided otherwise"
    )
