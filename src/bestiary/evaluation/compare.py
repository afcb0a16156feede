"""Finished runs -> paired differences of their out-of-fold accuracy on the images they share.

Each run predicts every image by the member that was not trained on it. What is hard for all runs
cancels out, so a difference shows with far fewer images than two separate intervals need. Reads the
runs and changes nothing.
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
from bestiary.run.images import RunImages
from bestiary.run.run import Run, RunSnapshot
from bestiary.stats.averaging import softmax
from bestiary.stats.intervals import Interval, share_interval
from bestiary.stats.paired import Difference, Hits, paired_difference

IMAGE_KEYS = ["sha256", "label"]  # images with the same bytes and label are one image


@dataclass(frozen=True)
class Comparison:
    """Runs on the images that all of them have scored.

    Attributes:
        names: a different name for each run; the first run is the reference.
        recipes: recipe of each run.
        images: images of the first run, whose paths the table has.
        table: path, label, and predicted_N and confidence_N of each run N.
        accuracies: accuracy of each run.
        differences: difference of each run but the first to the first.
        n_unshared: for each run, number of its images that another run lacks.
        groups: group number of each image (images,).
        runs: the runs.
    """

    names: list[str]
    recipes: list[Recipe]
    images: RunImages
    table: pl.DataFrame
    accuracies: list[Interval]
    differences: list[Difference]
    n_unshared: list[int]
    groups: NDArray[np.int64]
    runs: list[Run]

    def hits(self, index: int) -> Hits:
        """Tell which images run `index` has right (images,)."""
        return _hits(self.table, index)

    def changed(self, index: int, *, won: bool) -> pl.DataFrame:
        """Select the images that only one of two runs has right.

        Args:
            index: run that is compared with the first.
            won: with true, images that only this run has right; else, that only the first has.

        Returns:
            Rows of the table, highest confidence of this run first.
        """
        first_is_right = pl.col("predicted_0") == pl.col("label")
        run_is_right = pl.col(f"predicted_{index}") == pl.col("label")
        is_changed = run_is_right & ~first_is_right if won else first_is_right & ~run_is_right
        return self.table.filter(is_changed).sort(
            f"confidence_{index}",
            "path",
            descending=[True, False],
        )


def compare_runs(runs: Sequence[Run], names: Sequence[str] | None = None) -> Comparison:
    """Compare runs with the first of them, on the images that all have scored.

    Args:
        runs: finished runs, at least two.
        names: a different name for each run; None: the names of their folders.

    Returns:
        The comparison.

    Raises:
        RunError: a run has folds that have not ended.
        DataError: no image is in all of them.
    """
    snapshots = [run.load() for run in runs]
    tables = [_predictions(snapshot, index) for index, snapshot in enumerate(snapshots)]
    shared = _shared_images(tables)
    groups = leak_groups(shared)

    # Accuracy of each run, and its difference to the first
    hits = [_hits(shared, index) for index in range(len(runs))]
    reference, *others = hits
    accuracies: list[Interval] = [share_interval(run_hits, groups) for run_hits in hits]
    differences = [paired_difference(reference, run_hits, groups) for run_hits in others]

    return Comparison(
        names=list(names or _names(runs)),
        recipes=[snapshot.recipe for snapshot in snapshots],
        images=snapshots[0].images,
        table=shared,
        accuracies=accuracies,
        differences=differences,
        n_unshared=[table.height - shared.height for table in tables],
        groups=groups,
        runs=list(runs),
    )


def _predictions(snapshot: RunSnapshot, index: int) -> pl.DataFrame:
    """Read path, label and keys of each scored image, with the run's prediction and confidence."""
    out_of_fold = read_out_of_fold(snapshot).scorable()
    table = out_of_fold.table.unique(IMAGE_KEYS, keep="first", maintain_order=True)
    probabilities = softmax(table["logits"].to_numpy())
    class_indices = probabilities.argmax(axis=1)
    predicted = [out_of_fold.classes[class_index] for class_index in class_indices]
    confidence = probabilities.max(axis=1)

    images = table.select("path", "label", *GROUP_KEYS)
    return images.with_columns(
        pl.Series(f"predicted_{index}", predicted, pl.String),
        pl.Series(f"confidence_{index}", confidence),
    )


def _shared_images(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Join the tables on the images that all have; paths and groups are those of the first."""
    shared = tables[0]
    for table in tables[1:]:
        predictions = table.drop("path", "group", "duplicate_group")
        shared = shared.join(
            predictions,
            on=IMAGE_KEYS,
            how="inner",
            maintain_order="left",
        )
    if shared.is_empty():
        raise DataError("compare: the runs have no image in common; compare runs of the same data")
    return shared


def _hits(table: pl.DataFrame, index: int) -> Hits:
    is_right = table[f"predicted_{index}"] == table["label"]
    return is_right.to_numpy()


def _names(runs: Sequence[Run]) -> list[str]:
    """Name the runs by their folders, or by their paths if two folders have one name."""
    names = [run.name for run in runs]
    if len(set(names)) < len(names):
        return [run.place for run in runs]
    return names
