"""TODO run.targets"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.errors import DamagedError, RunError
from bestiary.run.layout import TARGETS, TRAIN_ONLY
from bestiary.run.run import Run
from bestiary.tables import TableError, read_note


def read_targets(
    run: Run, paths: Sequence[str] | pl.Series, folds: NDArray[np.int64], classes: int
) -> NDArray[np.float32] | None:
    """What a student's images are to be answered with (images, classes), zeros where held out; None
    for other runs.

    Raises:
        DamagedError: targets.parquet is damaged or lacks an image.
    """
    file = run.file(TARGETS)
    if not file.exists():
        return None
    table = run.read_table(TARGETS)
    place = {path: row for row, path in enumerate(paths)}
    rows = np.array([place.get(path, -1) for path in table["path"]], np.int64)
    wanted = np.flatnonzero(folds == TRAIN_ONLY)
    if table.schema.get("target") != pl.Array(pl.Float32, classes) or not np.array_equal(
        np.sort(rows), wanted
    ):
        raise DamagedError(f"{file}: is not of these images and classes; begin the student anew")
    targets = np.zeros((len(paths), classes), np.float32)
    targets[rows] = table["target"].to_numpy()
    return targets


def read_note_of(student: Run) -> dict[str, str]:
    """What `begin_student` noted: classes, new, command, weight, teacher.

    Raises:
        RunError: the run is no student.
    """
    try:
        note = read_note(student.file(TARGETS))
        return {key: note[key] for key in ("classes", "new", "command", "weight", "teacher")}
    except (OSError, TableError, KeyError):
        raise RunError(
            f"{student.path}: is a run, but not one that bestiary distill has begun"
        ) from None
