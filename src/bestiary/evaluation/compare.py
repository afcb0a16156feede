"""Finished runs -> paired differences of their out-of-fold accuracy on the images they share.

Every image is judged by each run's member that has not seen it, so what is hard for all cancels
out, and a difference shows with far fewer images than two separate intervals would need. Reads the
runs, changes nothing.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import leak_groups
from bestiary.data.manifest import GROUP_KEYS
from bestiary.errors import DataError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.recipe.options import Recipe
from bestiary.run.run import Run
from bestiary.stats.averaging import softmax
from bestiary.stats.intervals import Interval, share_interval
from bestiary.stats.paired import Difference, Hits, paired_difference
from bestiary.storage.files import Root


@dataclass(frozen=True)
class Comparison:
    """Runs on the images that all of them have scored.

    Attributes:
        names: a name for each run, all different; the first is what the others are compared with.
        recipes: what was asked of each.
        root: folder that the first one's images' paths start from.
        table: path, label, and `predicted_0`, `confidence_0`, `predicted_1` ... of each run.
        accuracies: of each run.
        differences: of each run but the first, against the first.
        alone: for each run, how many of its images some other lacks.
        groups: group number of each image (images,).
    """

    names: list[str]
    recipes: list[Recipe]
    root: Root
    table: pl.DataFrame
    accuracies: list[Interval]
    differences: list[Difference]
    alone: list[int]
    groups: NDArray[np.int64]

    def hits(self, number: int) -> Hits:
        """Whether run `number` has each image right (images,)."""
        return (self.table[f"predicted_{number}"] == self.table["label"]).to_numpy()

    def changed(self, number: int, *, won: bool) -> pl.DataFrame:
        """Rows that only run `number` (won) or only the first (lost) has right, the surest
        first.
        """
        right = [pl.col(f"predicted_{n}") == pl.col("label") for n in (0, number)]
        rows = self.table.filter(~right[0] & right[1] if won else right[0] & ~right[1])
        return rows.sort(f"confidence_{number}", "path", descending=[True, False])


def compare_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> Comparison:
    """Compare `runs`, two at least, with the first, on the images (the same bytes and label) that
    all have scored.

    Args:
        runs: finished runs.
        names: of the runs, all different; None: those of their folders.

    Raises:
        RunError: a run has folds that have not ended.
        DataError: no image is in all of them.
    """
    tables = [_predictions(run, number) for number, run in enumerate(runs)]
    shared = tables[0]
    for table in tables[1:]:
        shared = shared.join(
            table.drop("path", "group", "duplicate_group"),
            on=["sha256", "label"],
            how="inner",
            maintain_order="left",
        )
    if shared.is_empty():
        raise DataError("compare: the runs have no image in common; compare runs of the same data")
    groups = leak_groups(shared)
    hits = [
        (shared[f"predicted_{number}"] == shared["label"]).to_numpy() for number in range(len(runs))
    ]
    return Comparison(
        list(names or _names(runs)),
        [run.read_recipe() for run in runs],
        runs[0].read_root(),
        shared,
        [share_interval(hit, groups) for hit in hits],
        [paired_difference(hits[0], hit, groups) for hit in hits[1:]],
        [table.height - shared.height for table in tables],
        groups,
    )


def _predictions(run: Run, number: int) -> pl.DataFrame:
    run.check_ended()
    found = read_out_of_fold(run).scored()
    classes = found.classes
    table = found.table.unique(["sha256", "label"], keep="first", maintain_order=True)
    probabilities = softmax(table["logits"].to_numpy())
    return table.select("path", "label", *GROUP_KEYS).with_columns(
        pl.Series(
            f"predicted_{number}", [classes[n] for n in probabilities.argmax(axis=1)], pl.String
        ),
        pl.Series(f"confidence_{number}", probabilities.max(axis=1)),
    )


def _names(runs: Sequence[Run]) -> list[str]:
    short = [run.name for run in runs]
    return short if len(set(short)) == len(short) else [run.place for run in runs]
