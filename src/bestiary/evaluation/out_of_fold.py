"""A run's out-of-fold logits, joined with its manifest: read once by every command that judges a
run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import leak_groups
from bestiary.errors import RunError
from bestiary.run.layout import FOLDS, MANIFEST, TRAIN_ONLY
from bestiary.run.oof import read_oof
from bestiary.run.run import Run


@dataclass(frozen=True)
class OutOfFold:
    """Images of a run, each with the logits of the one member that was not trained on it.

    Attributes:
        table: the manifest's columns, and fold and logits.
        classes: class names in the order of the logits.
    """

    table: pl.DataFrame
    classes: list[str]

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """Logits (images, classes)."""
        return self.table["logits"].to_numpy()

    @cached_property
    def labels(self) -> NDArray[np.int64]:
        """Class numbers (images,).

        Raises:
            RunError: a label is none of the classes.
        """
        return class_numbers(self.table["label"], self.classes)

    @cached_property
    def folds(self) -> NDArray[np.int64]:
        """Fold of each image (images,)."""
        return self.table["fold"].to_numpy().astype(np.int64)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Group number of each image (images,), see `leak_groups`."""
        return leak_groups(self.table)

    def scored(self) -> "OutOfFold":
        """Leave out the images with label conflicts: nobody knows which of their labels is
        right.
        """
        return OutOfFold(self.table.filter(~pl.col("label_conflict")), self.classes)


def read_out_of_fold(run: Run) -> OutOfFold:
    """Read the held-out part of a run's manifest: all of it, unless the run is a student.

    Raises:
        RunError: a fold has not ended, or logits are damaged or do not cover the manifest.
    """
    tables: list[pl.DataFrame] = []
    classes: list[str] = []
    for fold in run.fold_numbers():
        table, names = read_oof(run.fold(fold))
        if classes and names != classes:
            raise RunError(f"{run.fold(fold).oof}: has other classes than the folds before it")
        classes = names
        tables.append(table.with_columns(pl.lit(fold).alias("fold")))
    never = run.read_table(FOLDS).filter(pl.col("fold") == TRAIN_ONLY)
    manifest = run.read_table(MANIFEST).join(never, on="path", how="anti", maintain_order="left")
    joined = manifest.join(
        pl.concat(tables).drop("label"), on="path", how="left", maintain_order="left"
    )
    if joined.height != manifest.height or joined["fold"].null_count():
        raise RunError(
            f"{run.place}: out-of-fold logits do not cover the manifest; remove the fold's folder "
            f"and --resume"
        )
    return OutOfFold(joined, classes)


def class_numbers(labels: pl.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """Number labels by their place among `classes` (images,).

    Raises:
        RunError: a label is none of the classes.
    """
    number = {name: index for index, name in enumerate(classes)}
    strange = set(labels) - number.keys()
    if strange:
        raise RunError(
            f"label {min(strange)!r:.80} of the manifest is none of the classes of the logits"
        )
    return np.array([number[label] for label in labels], np.int64)
