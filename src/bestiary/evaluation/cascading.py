"""A run and a risk -> its ensemble, whose images stop after one member where that is enough.

Of several views, that member sees the first alone, where the run knows its out-of-fold logits; a
single member stops after it likewise. What is enough is learnt from the run's out-of-fold
predictions. Trains nothing.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.ensemble.card import read_card
from bestiary.ensemble.cascaded import Stops
from bestiary.ensemble.ensemble import Ensemble
from bestiary.ensemble.inputs import ImageInput
from bestiary.ensemble.members import open_members
from bestiary.errors import ArgumentError
from bestiary.evaluation.out_of_fold import OutOfFold, class_numbers, read_out_of_fold
from bestiary.recipe.choices import Engine
from bestiary.run.run import Run
from bestiary.stats.calibration import RISKS, Calibration
from bestiary.stats.cascade import Cascade


def learn_cascade(run: Run, ensemble: Ensemble, risk: float) -> Cascade:
    """Learn from a run's out-of-fold predictions which images one member is enough for.

    Args:
        run: the run.
        ensemble: its ensemble.
        risk: largest share of errors among images that stop; one of `RISKS`.

    Returns:
        The cascade.

    Raises:
        ArgumentError: the risk is not offered or cannot be promised, there is one member with one
            view only, or the number of views is not that of the out-of-fold predictions.
        RunError: a fold has not ended.
    """
    if risk not in RISKS:
        raise ArgumentError(f"--cascade {risk:g}: choose {', '.join(map(str, RISKS))}")
    is_single = len(ensemble.folds) == 1
    if is_single and ensemble.tta == 1:
        raise ArgumentError("--cascade: the run has one member and one view; leave --cascade out")
    if ensemble.blended:
        raise ArgumentError("--cascade: a joined run has no first member; leave --cascade out")
    views = read_card(run).tta
    if ensemble.tta != views:
        raise ArgumentError(
            f"--cascade: is learnt from predictions of {views} views; leave --tta out"
        )
    out_of_fold = read_out_of_fold(run.load(), with_first_view=True).scorable()
    if is_single and out_of_fold.first_view is None:
        raise ArgumentError(
            "--cascade: the run has one member and no out-of-fold logits of one view; a run that "
            "is trained again has them. Leave --cascade out"
        )
    cascade = _learn(out_of_fold, risk, views, is_single=is_single)
    if cascade.never_stops:
        what = "one view" if is_single else "one member"
        raise ArgumentError(
            f"--cascade {risk:g}: {cascade.n_images:,} out-of-fold predictions do not show that "
            f"{what} keeps that risk; choose a larger one, or leave --cascade out"
        )
    return cascade


def _learn(out_of_fold: OutOfFold, risk: float, views: int, *, is_single: bool = False) -> Cascade:
    """Learn from the first view, or else, of several members, from all views of one."""
    rest = (out_of_fold.labels, out_of_fold.folds, out_of_fold.leak_groups, risk)
    note = ""
    if out_of_fold.first_view is not None:
        cascade = replace(Cascade.fit(out_of_fold.first_view, *rest), sees_first_view=True)
        if is_single or not cascade.never_stops:
            return cascade
        note = f". One view alone does not keep that risk, so a member sees all {views}"
    elif views > 1:
        note = (
            f". The run has no out-of-fold logits of one view, so a member sees all {views}; a run "
            "that is trained again has them"
        )
    return replace(Cascade.fit(out_of_fold.logits, *rest), note=note)


def apply_cascade(run: Run, ensemble: Ensemble, cascade: Cascade, engine: Engine) -> None:
    """Let an ensemble stop early.

    Args:
        run: the run.
        ensemble: its ensemble; changed in place. Where an image may stop at its first view, its
            calibration is that of such answers.
        cascade: says which images stop.
        engine: what runs the first member's network, as it was asked for.

    Raises:
        RunError: the first member's file is damaged.
        ArgumentError: the engine cannot run the network here.
    """
    first = _first_member(run, ensemble, cascade, engine)
    ensemble.stop_early(first, _stops(cascade, ensemble), _scale(run, cascade))
    if cascade.sees_first_view and ensemble.calibration:
        answered = read_answered(run, cascade)
        parts = (answered.logits, answered.labels, answered.leak_groups)
        ensemble.calibration = Calibration.fit(*parts)


def read_answered(run: Run, cascade: Cascade | None) -> OutOfFold:
    """Read the out-of-fold predictions that are scored, as a cascade would answer them.

    What is promised of answers has to be learnt from answers of the same kind.

    Args:
        run: the run.
        cascade: says which images stop; None: none does.

    Returns:
        The predictions. An image that stops at its first view has the logits of that view, at the
        temperature of the others.

    Raises:
        RunError: a fold has not ended.
    """
    if cascade is None or not cascade.sees_first_view or cascade.stopped is None:
        return read_out_of_fold(run.load()).scorable()
    out_of_fold = read_out_of_fold(run.load(), with_first_view=True).scorable()
    assert out_of_fold.first_view is not None, "the cascade was learnt from it"
    first = np.float32(_scale(run, cascade)) * out_of_fold.first_view
    logits = np.where(cascade.stopped[:, None], first, out_of_fold.logits)
    column = pl.Series("logits", logits, out_of_fold.table.schema["logits"])
    return replace(out_of_fold, table=out_of_fold.table.with_columns(column))


def _scale(run: Run, cascade: Cascade) -> float:
    """Factor of the first view's logits that gives them the temperature of the others."""
    of_all = read_card(run).calibration
    if not cascade.sees_first_view or not of_all:
        return 1.0
    return of_all.temperature / cascade.calibration.temperature


def _first_member(run: Run, ensemble: Ensemble, cascade: Cascade, engine: Engine) -> Ensemble:
    """Load the first member alone, with the views that a cascade lets it see."""
    card = read_card(run)
    card = replace(card, folds=card.folds[:1])
    members, graphs = open_members(run, card, ensemble.device, engine)
    return Ensemble(
        members,
        card.classes,
        card.view,
        folds=card.folds,
        tta=ensemble.tta,
        precision=card.precision,
        device=ensemble.device,
        engine=engine,
        graphs=graphs,
        first_view=cascade.sees_first_view,
    )


def first_logits(
    run: Run,
    ensemble: Ensemble,
    cascade: Cascade,
    files: Sequence[ImageInput],
    logits: NDArray[np.float32],
) -> NDArray[np.float32]:
    """Compute what a cascade looks at first.

    Args:
        run: the run.
        ensemble: its ensemble.
        cascade: says what the first member sees.
        files: readable images.
        logits: of all members and views of these images (members, images, classes).

    Returns:
        Logits (images, classes) of the first member.
    """
    if not cascade.sees_first_view:
        return np.asarray(logits[0])
    first = _first_member(run, ensemble, cascade, "auto")
    return np.concatenate([batch.logits[0] for batch in first.iter_logits(files)])


def score_cascade(
    cascade: Cascade,
    ensemble: Ensemble,
    table: pl.DataFrame,
    first: NDArray[np.float32],
    logits: NDArray[np.float32],
) -> dict[str, Any]:
    """Score what a cascade would answer on images whose logits of all members are known.

    Args:
        cascade: says which images stop.
        ensemble: the ensemble.
        table: has the column label.
        first: logits of what the cascade looks at first (images, classes), see `first_logits`.
        logits: of all members (members, images, classes).

    Returns:
        Risk and threshold; ``first_view``, whether one view is enough for an image that stops;
        ``stopped``, the share of images that stop, and ``wrong``, the number of wrong answers among
        them; the accuracies ``accuracy`` and ``all_members``.
    """
    labels = class_numbers(table["label"], ensemble.classes_.tolist())
    is_stopped = _stops(cascade, ensemble)(first)
    of_all = ensemble.probabilities(logits).argmax(axis=1)
    predicted = np.where(is_stopped, first.argmax(axis=1), of_all)
    is_wrong = predicted != labels
    return {
        "risk": cascade.risk,
        "threshold": cascade.threshold,
        "first_view": cascade.sees_first_view,
        "stopped": float(is_stopped.mean()),
        "wrong": int((is_stopped & is_wrong).sum()),
        "accuracy": float(1 - is_wrong.mean()),
        "all_members": float((of_all == labels).mean()),
    }


def _stops(cascade: Cascade, ensemble: Ensemble) -> Stops:
    """Return when the first member's logits (images, classes) are enough.

    What that member finds unlike anything known is left to all of them.
    """
    detector = ensemble.ood.of_member(0) if ensemble.ood else None

    def stops(logits: NDArray[np.float32]) -> NDArray[np.bool_]:
        is_stopped = cascade.stops(logits)
        return is_stopped & ~detector.is_unknown(logits[None]) if detector else is_stopped

    return stops
