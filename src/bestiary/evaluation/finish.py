"""A run's out-of-fold logits -> its calibration and where its known classes lie, once all folds have ended."""

import platform
from dataclasses import asdict

import polars as pl
import timm
import torch
import torchvision

from bestiary.data.folds import leak_groups
from bestiary.data.manifest import natural_classes
from bestiary.data.views import EvalView
from bestiary.evaluation.out_of_fold import class_numbers, read_out_of_fold
from bestiary.model.classifier import load_member
from bestiary.run.layout import FORMAT
from bestiary.run.ood import write_ood
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration
from bestiary.stats.ood import Known
from bestiary.stats.scores import crossing, oof_scores


def calibrate_run(run: Run) -> bool:
    """Add the calibration to ensemble.json and write known.safetensors, if all folds have ended; says whether so.

    Each member's logits are of the pictures it has not seen. The average of the members is somewhat more often right
    than one of them, so what is promised here is kept with a little to spare.

    Raises:
        RunError: out-of-fold logits are damaged or do not cover the manifest.
    """
    if not all(run.fold(fold).ended for fold in run.folds):
        return False
    table, classes = read_out_of_fold(run)
    table = table.filter(~pl.col("conflict"))
    logits, labels, folds = (
        table["logits"].to_numpy(),
        class_numbers(table, classes),
        table["fold"].to_numpy(),
    )
    parts = crossing(folds, leak_groups(table))
    write_ood(run.file("known.safetensors"), Known.fit(logits, labels, folds, parts))
    found = Calibration.fit(logits, labels)
    run.write_json(
        "ensemble.json", run.read_json("ensemble.json") | {"calibration": found.to_json()}
    )
    return True


def finish_run(run: Run) -> None:
    """Assemble the members of `run` that are trained, calibrate them and score them.

    Raises:
        BestiaryError: a file of the run is damaged, or its folder cannot be written.
    """
    assemble(run)
    calibrate_run(run)
    score_run(run)


def score_run(run: Run) -> bool:
    """Write metrics.json if all folds have ended; says whether they have.

    Raises:
        RunError: out-of-fold logits are damaged or do not cover the manifest.
    """
    if not all(run.fold(fold).ended for fold in run.folds):
        return False
    table, classes = read_out_of_fold(run)
    table = table.filter(~pl.col("conflict"))  # nobody knows which of their labels is right
    groups = leak_groups(table)
    scores = oof_scores(
        table["logits"].to_numpy(), class_numbers(table, classes), table["fold"].to_numpy(), groups
    )
    run.write_json("metrics.json", {"oof": scores})
    return True


def assemble(run: Run) -> None:
    """Write ensemble.json for the members of `run` that are trained."""
    recipe = run.recipe
    members = [fold for fold in run.folds if run.fold(fold).ended]
    if not members:
        return
    first = load_member(run.fold(members[0]).weights)
    view = EvalView.of(recipe.view, first.interpolation)
    run.write_json(
        "ensemble.json",
        {
            "format": FORMAT,
            "classes": natural_classes(run.read_table("manifest.parquet")["label"]),
            "view": asdict(view),
            "views": recipe.predict.views,
            "average": recipe.predict.average,
            "precision": recipe.train.precision,
            "backbone": recipe.model.backbone,
            "weights_origin": first.origin,
            "members": [
                {"fold": fold, "weights": f"fold-{fold}/weights.safetensors"} for fold in members
            ],
            "versions": {
                "python": platform.python_version(),
                "torch": torch.__version__,
                "torchvision": torchvision.__version__,
                "timm": timm.__version__,
            },
        },
    )
