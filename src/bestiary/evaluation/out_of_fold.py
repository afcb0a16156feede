"""A run's out-of-fold logits -> metrics.json, the number that the run stands for."""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.errors import RunError
from bestiary.run.layout import NEVER_HELD
from bestiary.run.oof import read_oof
from bestiary.run.run import Run


def read_out_of_fold(run: Run) -> tuple[pl.DataFrame, list[str]]:
    """The held-out part of a run's manifest, which is all of it unless the run is a student, and the logits' classes.

    All folds must have ended. The table has the columns fold and logits besides the manifest's.

    Raises:
        RunError: out-of-fold logits are missing, damaged or do not cover the manifest.
    """
    tables: list[pl.DataFrame] = []
    classes: list[str] = []
    for fold in run.folds:
        table, names = read_oof(run.fold(fold))
        if classes and names != classes:
            raise RunError(f"{run.fold(fold).oof}: has other classes than the folds before it")
        classes = names
        tables.append(table.with_columns(pl.lit(fold).alias("fold")))
    never = run.read_table("folds.parquet").filter(pl.col("fold") == NEVER_HELD)
    manifest = run.read_table("manifest.parquet").join(
        never, on="path", how="anti", maintain_order="left"
    )
    joined = manifest.join(
        pl.concat(tables).drop("label"), on="path", how="left", maintain_order="left"
    )
    if joined.height != manifest.height or joined["fold"].null_count():
        raise RunError(
            f"{run.place}: out-of-fold logits do not cover the manifest; remove the fold's folder and --resume"
        )
    return joined, classes


def class_numbers(table: pl.DataFrame, classes: list[str]) -> NDArray[np.int64]:
    """The labels of `table` as numbers of `classes` (pictures,).

    Raises:
        RunError: a label is none of the classes.
    """
    number = {name: index for index, name in enumerate(classes)}
    strange = set(table["label"]) - number.keys()
    if strange:
        raise RunError(
            f"label {min(strange)!r:.80} of the manifest is none of the classes of the out-of-fold logits"
        )
    return np.array([number[label] for label in table["label"]], np.int64)
