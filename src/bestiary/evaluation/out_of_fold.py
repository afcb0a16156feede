"""A run -> its out-of-fold logits joined with the manifest: labels, folds, groups.

Every command that scores a run reads it here, once. Knows nothing of scores.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import fold_groups, leak_groups
from bestiary.errors import RunError
from bestiary.recipe.choices import FoldBy
from bestiary.run.budget_file import read_budget
from bestiary.run.layout import TRAIN_ONLY
from bestiary.run.oof import FIRST_VIEW, read_oof
from bestiary.run.run import RunSnapshot


@dataclass(frozen=True)
class OutOfFold:
    """Images of a run, each with the logits of the one member that was not trained on it.

    Attributes:
        table: columns of the manifest, fold, logits, and ``chose``: whether the recipe was chosen
            on the image, within a time budget; where asked for and known, the logits of the first
            view.
        classes: class names in the order of the logits.
        by: what the folds leave out together.
    """

    table: pl.DataFrame
    classes: list[str]
    by: FoldBy = "image"

    @cached_property
    def logits(self) -> NDArray[np.float32]:
        """Logits (images, classes)."""
        return self.table["logits"].to_numpy()

    @property
    def first_view(self) -> NDArray[np.float32] | None:
        """Logits of the first of several views (images, classes); None: not asked for or known."""
        return self.table[FIRST_VIEW].to_numpy() if FIRST_VIEW in self.table.columns else None

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
        folds = self.table["fold"].to_numpy()
        return folds.astype(np.int64)

    @cached_property
    def groups(self) -> NDArray[np.int64]:
        """Group number of each image (images,), see `fold_groups`."""
        return fold_groups(self.table, self.by)

    @cached_property
    def leak_groups(self) -> NDArray[np.int64]:
        """Group number of each image (images,), see `leak_groups`: those within a site."""
        return leak_groups(self.table)

    def without_conflicts(self) -> "OutOfFold":
        """Leave out images with a label conflict: nobody knows which of their labels is right."""
        has_conflict = pl.col("label_conflict")
        return replace(self, table=self.table.filter(~has_conflict))

    def scorable(self) -> "OutOfFold":
        """Leave out what must not be scored: conflicts, and images that the recipe was chosen on.

        The recipe was chosen by its success on the latter, so they would flatter it.
        """
        chose = pl.col("chose")
        return replace(self, table=self.without_conflicts().table.filter(~chose))


def read_out_of_fold(snapshot: RunSnapshot, *, with_first_view: bool = False) -> OutOfFold:
    """Read the out-of-fold logits of a run.

    Args:
        snapshot: starting files of a run whose folds have ended.
        with_first_view: whether to read those of the first view too, if all folds have them.

    Returns:
        The validation images of all folds: the whole manifest. In a student's run, without the
        images that every member is trained on.

    Raises:
        RunError: a fold has not ended, or logits are damaged or do not cover the manifest.
    """
    snapshot.check_ended()
    logits, classes = _read_folds(snapshot, with_first_view)

    # Images that some member was not trained on
    is_train_only = pl.col("fold") == TRAIN_ONLY
    train_only = snapshot.fold_table.filter(is_train_only)
    manifest = snapshot.manifest.join(
        train_only,
        on="path",
        how="anti",
        maintain_order="left",
    )

    joined = manifest.join(
        logits.drop("label"),
        on="path",
        how="left",
        maintain_order="left",
    )
    if joined.height != manifest.height or joined["fold"].null_count():
        raise RunError(
            f"{snapshot.run.place}: out-of-fold logits do not cover the manifest; remove the "
            f"fold's folder and --resume"
        )
    budget = read_budget(snapshot.run)
    choosing_folds = budget.folds if budget else []
    chose = pl.col("fold").is_in(choosing_folds).alias("chose")
    return OutOfFold(joined.with_columns(chose), classes, snapshot.recipe.folds.by)


def class_numbers(labels: pl.Series, classes: Sequence[str]) -> NDArray[np.int64]:
    """Turn labels into class numbers.

    Args:
        labels: class names (images,).
        classes: class names in the order of the logits.

    Returns:
        Index of each label in `classes` (images,).

    Raises:
        RunError: a label is none of the classes.
    """
    indices = {name: index for index, name in enumerate(classes)}
    unknown = set(labels) - indices.keys()
    if unknown:
        raise RunError(
            f"label {min(unknown)!r:.80} of the manifest is none of the classes of the logits"
        )
    return np.array([indices[label] for label in labels], np.int64)


def _read_folds(
    snapshot: RunSnapshot, with_first_view: bool = False
) -> tuple[pl.DataFrame, list[str]]:
    """Read the logits of all folds, and the classes that they share."""
    tables: list[pl.DataFrame] = []
    classes: list[str] = []
    for fold in snapshot.folds:
        files = snapshot.run.fold(fold)
        table, fold_classes = read_oof(files)
        if classes and fold_classes != classes:
            raise RunError(f"{files.oof}: has other classes than the folds before it")
        classes = fold_classes
        if not with_first_view:
            table = table.drop(FIRST_VIEW, strict=False)
        fold_column = pl.lit(fold).alias("fold")
        tables.append(table.with_columns(fold_column))
    shared = [name for name in tables[0].columns if all(name in table.columns for table in tables)]
    return pl.concat([table.select(shared) for table in tables]), classes
