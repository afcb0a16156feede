"""A run whose folds are trained -> its ensemble, calibration and scores, on disk."""

import platform
from dataclasses import asdict

import timm
import torch
import torchvision

from bestiary.data.manifest import natural_classes
from bestiary.data.views import EvalView
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.model.classifier import load_member
from bestiary.run.layout import ENSEMBLE, FORMAT, MANIFEST, METRICS, OOD
from bestiary.run.ood import write_ood
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration
from bestiary.stats.ood import OodDetector
from bestiary.stats.scores import crossfit_parts, oof_scores


def finish_run(run: Run) -> None:
    """Assemble the members of `run` that are trained; once all folds have ended, calibrate and
    score them.

    Raises:
        BestiaryError: a file of the run is damaged, or its folder cannot be written.
    """
    assemble(run)
    if all(run.fold(fold).ended for fold in run.fold_numbers()):
        found = read_out_of_fold(run).scored()
        calibrate(run, found)
        score(run, found)


def calibrate(run: Run, found: OutOfFold) -> None:
    """Add the calibration to ensemble.json, and write the out-of-distribution detector.

    Each member's logits are of images it was not trained on. The average of the members is somewhat
    more often right than one of them, so what is promised here is kept with a little to spare.
    """
    parts = crossfit_parts(found.folds, found.groups)
    write_ood(run.file(OOD), OodDetector.fit(found.logits, found.labels, found.folds, parts))
    calibration = Calibration.fit(found.logits, found.labels).to_json()
    run.write_json(ENSEMBLE, run.read_json(ENSEMBLE) | {"calibration": calibration})


def score(run: Run, found: OutOfFold) -> None:
    """Write metrics.json, the number that the run stands for."""
    scores = oof_scores(found.logits, found.labels, found.folds, found.groups)
    run.write_json(METRICS, {"oof": scores})


def assemble(run: Run) -> None:
    """Write ensemble.json for the members of `run` that are trained."""
    recipe = run.read_recipe()
    members = [fold for fold in run.fold_numbers() if run.fold(fold).ended]
    if not members:
        return
    first = load_member(run.fold(members[0]).weights)
    view = EvalView.of(recipe.view, first.interpolation)
    run.write_json(
        ENSEMBLE,
        {
            "format": FORMAT,
            "classes": natural_classes(run.read_table(MANIFEST)["label"]),
            "view": asdict(view),
            "tta": recipe.predict.tta,
            "average": recipe.predict.average,
            "precision": recipe.train.precision,
            "backbone": recipe.model.backbone,
            "weights_origin": first.origin,
            "members": [
                {"fold": fold, "weights": run.fold(fold).weights.relative_to(run.path).as_posix()}
                for fold in members
            ],
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
                "timm": timm.__version__,
            },
        },
    )
