"""A run whose folds are trained -> its ensemble, calibration and out-of-fold scores on disk.

Writes ensemble.json, unknown.json, ood.safetensors, field.json and metrics.json, and at last into
ensemble.json which files these are. Trains nothing.
"""

import platform
from contextlib import suppress
from dataclasses import asdict
from importlib.metadata import version
from typing import Any

import torch
import torchvision

from bestiary.data.eval_view import EvalView
from bestiary.data.manifest import natural_classes
from bestiary.details import stage
from bestiary.ensemble.card import read_card
from bestiary.errors import DamagedError, RunError
from bestiary.evaluation.field import FieldFit
from bestiary.evaluation.left_out_classes import leave_classes_out
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.model.classifier import load_member
from bestiary.model.tensor_card import claimed_checksum
from bestiary.run.field_scores import FIELD_KEY
from bestiary.run.finished_files import FILES_KEY, finished_digests
from bestiary.run.layout import ENSEMBLE, FIELD, METRICS, OOD, RUN_FORMAT, UNKNOWN
from bestiary.run.ood import write_ood
from bestiary.run.run import Run, RunSnapshot
from bestiary.run.taxonomy import read_run_taxonomy
from bestiary.run.unknown_file import read_unknown, record_of
from bestiary.stats.calibration import Calibration
from bestiary.stats.crossfit import crossfit_parts
from bestiary.stats.left_out import better_score, honest_rates
from bestiary.stats.ood import OodDetector, OodScore
from bestiary.stats.scores import oof_scores


@stage("Calibrating and scoring")
def finish_run(run: Run) -> None:
    """Assemble the ensemble of a run; once all folds have ended, calibrate and score it.

    Args:
        run: the run; those of its folds that are trained become members.

    Raises:
        BestiaryError: a file of the run is damaged, or its folder cannot be written.
    """
    snapshot = run.load()
    if is_joined(run):
        return  # a join ends what it begins
    assemble(snapshot)
    if snapshot.ended != snapshot.folds:
        return
    calibrate_and_score(snapshot)


def calibrate_and_score(snapshot: RunSnapshot) -> None:
    """Calibrate and score an assembled run, by its out-of-fold logits.

    Args:
        snapshot: of a run whose folds have all ended.

    Raises:
        BestiaryError: a file of the run is damaged, or its folder cannot be written.
    """
    run = snapshot.run
    out_of_fold = read_out_of_fold(snapshot)
    calibration = calibrate(run, out_of_fold)
    scorable = out_of_fold.scorable()
    field = FieldFit(snapshot.recipe, scorable, calibration, read_run_taxonomy(run))
    if field.card:
        run.write_json(FIELD, field.card)
    else:
        run.file(FIELD).unlink(missing_ok=True)
    score(run, scorable, field.scores, len(snapshot.folds))
    _complete_card(run, calibration)


def is_joined(run: Run) -> bool:
    """Tell whether a run blends others (`bestiary join`).

    Args:
        run: the run.
    """
    with suppress(RunError):  # there is none yet, or one that is to be written again
        return read_card(run).n_runs > 1
    return False


def calibrate(run: Run, out_of_fold: OutOfFold) -> Calibration:
    """Fit the calibration, and write the out-of-distribution detector.

    Each member's logits are of images that it was not trained on. The ensemble is somewhat more
    often right than one member, so the calibration is slightly conservative.

    Args:
        run: the run.
        out_of_fold: its out-of-fold logits.

    Returns:
        The calibration.
    """
    write_ood(run.file(OOD), fit_ood(out_of_fold, choose_ood_score(run, out_of_fold)))
    scorable = out_of_fold.scorable()
    return Calibration.fit(scorable.logits, scorable.labels, scorable.leak_groups)


def _complete_card(run: Run, calibration: Calibration) -> None:
    """Add the calibration and the checksums of all other files to ensemble.json."""
    card = run.read_json(ENSEMBLE)
    card["calibration"] = calibration.to_json()
    card.pop(FILES_KEY, None)  # of an earlier time
    card[FILES_KEY] = finished_digests(run.path)
    run.write_json(ENSEMBLE, card)


def choose_ood_score(run: Run, out_of_fold: OutOfFold) -> OodScore:
    """Choose the score that tells unknown images, by leaving classes out, and write unknown.json.

    A run that was finished without that file keeps its answers: energy decides. So it does in a
    joined run, which has no features of its own. The file of another run is written again.

    Args:
        run: the run.
        out_of_fold: its out-of-fold logits.
    """
    try:
        chosen = read_unknown(run)
        was_finished = run.file(OOD).exists()
    except DamagedError:
        chosen, was_finished = None, False
        run.file(UNKNOWN).unlink(missing_ok=True)
    if chosen:
        return chosen.score
    if was_finished or is_joined(run):
        return "energy"
    sets = leave_classes_out(run.read_recipe(), out_of_fold)
    if len(sets) < 2:
        return "energy"
    score = better_score(sets)
    record = record_of(score, honest_rates(sets), sets, out_of_fold.classes)
    run.write_json(UNKNOWN, record.model_dump(mode="json"))
    return score


def fit_ood(out_of_fold: OutOfFold, score: OodScore = "energy") -> OodDetector:
    """Fit the out-of-distribution detector, which every member takes part in.

    Args:
        out_of_fold: logits of a run.
        score: that decides what is unknown.
    """
    images = out_of_fold.without_conflicts()
    parts = crossfit_parts(images.folds, images.groups)
    return OodDetector.fit(images.logits, images.labels, images.folds, parts, score)


def score(run: Run, out_of_fold: OutOfFold, field: dict[str, Any], members: int) -> None:
    """Write metrics.json.

    Args:
        run: the run.
        out_of_fold: its out-of-fold logits that may be scored.
        field: scores in the field; empty: there are none.
        members: number of members.
    """
    scores = oof_scores(
        out_of_fold.logits, out_of_fold.labels, out_of_fold.folds, out_of_fold.groups, members
    )
    metrics: dict[str, Any] = {"oof": scores}
    if field:
        metrics[FIELD_KEY] = field
    run.write_json(METRICS, metrics)


def assemble(snapshot: RunSnapshot) -> None:
    """Write ensemble.json for the folds that are trained; without any, do nothing.

    Args:
        snapshot: starting files of the run.
    """
    run = snapshot.run
    recipe = snapshot.recipe
    folds = snapshot.ended
    if not folds:
        return

    first = load_member(run.fold(folds[0]).weights)
    view = EvalView.of(recipe.view, first.interpolation)
    card = {
        "format": RUN_FORMAT,
        "classes": natural_classes(snapshot.manifest["label"]),
        "view": asdict(view),
        "tta": recipe.predict.tta,
        "average": recipe.predict.average,
        "precision": recipe.train.precision,
        "backbone": recipe.model.backbone,
        "weights_origin": first.origin,
        "members": [_member_entry(run, fold) for fold in folds],
        "versions": _versions(),
        **_former_files(run),
    }
    run.write_json(ENSEMBLE, card)


def _former_files(run: Run) -> dict[str, Any]:
    """What ensemble.json says of the run's files, which hold until they are written again."""
    with suppress(RunError):  # there is none yet, or it is damaged
        card = run.read_json(ENSEMBLE)
        if FILES_KEY in card:
            return {FILES_KEY: card[FILES_KEY]}
    return {}


def _member_entry(run: Run, fold: int) -> dict[str, Any]:
    weights = run.fold(fold).weights
    return {
        "fold": fold,
        "weights": weights.relative_to(run.path).as_posix(),
        "digest": claimed_checksum(weights),
    }


def _versions() -> dict[str, str]:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "timm": version("timm"),
    }
