"""A run's out-of-fold logits -> its calibration and where its known classes lie, once all folds have ended."""

import polars as pl

from bestiary.data.folds import join_groups
from bestiary.data.manifest import GROUP_KEYS
from bestiary.ensemble import Calibration, Known
from bestiary.evaluate.oof import class_numbers, read_out_of_fold
from bestiary.evaluate.scores import crossing
from bestiary.run import Run


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
    logits, labels, folds = table["logits"].to_numpy(), class_numbers(table, classes), table["fold"].to_numpy()
    parts = crossing(folds, join_groups(*(table[key] for key in GROUP_KEYS)))
    Known.fit(logits, labels, folds, parts).save(run.file("known.safetensors"))
    found = Calibration.fit(logits, labels)
    run.write_json("ensemble.json", run.read_json("ensemble.json") | {"calibration": found.to_json()})
    return True
