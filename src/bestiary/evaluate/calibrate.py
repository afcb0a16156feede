"""A run's out-of-fold logits -> the calibration in its ensemble.json, once all folds have ended."""

import polars as pl

from bestiary.ensemble import Calibration
from bestiary.evaluate.oof import class_numbers, read_out_of_fold
from bestiary.run import Run


def calibrate_run(run: Run) -> bool:
    """Add the calibration to ensemble.json if all folds have ended; says whether they have.

    Each member's logits are of the pictures it has not seen. The average of the members is somewhat more often right
    than one of them, so what is promised here is kept with a little to spare.

    Raises:
        RunError: out-of-fold logits are damaged or do not cover the manifest.
    """
    if not all(run.fold(fold).ended for fold in run.folds):
        return False
    table, classes = read_out_of_fold(run)
    table = table.filter(~pl.col("conflict"))
    found = Calibration.fit(table["logits"].to_numpy(), class_numbers(table, classes))
    run.write_json("ensemble.json", run.read_json("ensemble.json") | {"calibration": found.to_json()})
    return True
