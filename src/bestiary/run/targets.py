"""Read targets.parquet: the target probabilities on which a student is distilled."""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.errors import DamagedError, RunError
from bestiary.run.layout import TARGETS, TRAIN_ONLY
from bestiary.run.run import Run
from bestiary.tables import TableError, read_metadata

METADATA_KEYS = ("classes", "new", "command", "weight", "teacher")


def read_targets(
    run: Run, paths: Sequence[str] | pl.Series, folds: NDArray[np.int64], classes: int
) -> NDArray[np.float32] | None:
    """Read the distillation targets of a student.

    Args:
        run: the student's run, or any other.
        paths: path of each image.
        folds: fold of each image (images,).
        classes: number of classes.

    Returns:
        Target probabilities (images, classes), zeros for held-out images; None where the run is
        not a student's.

    Raises:
        DamagedError: targets.parquet is damaged or lacks an image.
    """
    file = run.file(TARGETS)
    if not file.exists():
        return None
    table = run.read_table(TARGETS)
    # Every image that is trained on must have exactly one row, and no other image may have one.
    row_of = {path: row for row, path in enumerate(paths)}
    rows = np.array([row_of.get(path, -1) for path in table["path"]], np.int64)
    expected = np.flatnonzero(folds == TRAIN_ONLY)
    has_schema = table.schema.get("target") == pl.Array(pl.Float32, classes)
    if not has_schema or not np.array_equal(np.sort(rows), expected):
        raise DamagedError(
            f"{file}: is not of these images and classes; distill the student into a new folder"
        )
    if not table["target"].explode().is_between(0, 1.001).all():  # nan included
        raise DamagedError.foreign(file, "a target probability is not from 0 to 1")
    targets = np.zeros((len(paths), classes), np.float32)
    targets[rows] = table["target"].to_numpy()
    return targets


def read_student_metadata(student: Run) -> dict[str, str]:
    """Read what `begin_student` wrote: classes, new, command, weight and teacher.

    Raises:
        RunError: the run is not a student's.
    """
    try:
        metadata = read_metadata(student.file(TARGETS))
        return {key: metadata[key] for key in METADATA_KEYS}
    except (OSError, TableError, KeyError):
        raise RunError(
            f"{student.path}: is a run, but not one that bestiary distill has begun"
        ) from None
