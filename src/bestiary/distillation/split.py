"""A finished run -> the beginning of a student: what it trains on, what it is held to, and what it
is judged by.

Each image's target is made by the one member that was not trained on it, so that no target is a
memory of the label: its out-of-fold logits, calibrated, mixed with the label itself (Hinton et al.
2015, arXiv:1503.02531). What the student is judged by is held out from it: images that are new to
the run, or a part of the run's own. Of the latter the student sees nothing, but all members that
teach it save one were trained on them, and a student can inherit a little of what its teachers
remember (Jagielski et al. 2023, arXiv:2303.03446). Knows nothing of ensembles.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.special import softmax

from bestiary.data import folds as dealing
from bestiary.data.folds import leak_groups
from bestiary.data.manifest import SCHEMA
from bestiary.data.near_duplicates.recognition import KINDS, recognize_labeled
from bestiary.display import Display
from bestiary.errors import DataError, RunError
from bestiary.recipe.options import Recipe
from bestiary.run.layout import FOLDS, MANIFEST, TARGETS, TRAIN_ONLY
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.storage.files import Root, location

Rows = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class DistillSplit:
    """The images of a student.

    Attributes:
        table: columns as of a manifest.
        root: folder that the paths start from.
        held: which of them the student is judged by (images,); it trains on the others.
        new: whether those held are new to the teachers too.
        left_out: how many of the images given to judge by cannot be, by reason.
    """

    table: pl.DataFrame
    root: Root
    held: NDArray[np.bool_]
    new: bool
    left_out: dict[str, int]


def split_run(teacher: Run, share: float) -> DistillSplit:
    """The run's own images, about `share` of each class held out in whole groups."""
    table = teacher.read_table(MANIFEST)
    groups = leak_groups(table)
    parts = dealing.deal(
        table["path"],
        table["label"],
        groups,
        round(1 / share),
        teacher.read_recipe().folds.seed + 1,
    )
    held = (parts == 0) & ~table["label_conflict"].to_numpy()
    # of a class, and of a group, something is left to train on, or all of it is
    learnt = set(table["label"].filter(pl.Series(parts != 0)))
    held &= np.array([label in learnt for label in table["label"]])
    held &= ~np.isin(groups, groups[(parts == 0) & ~held])
    if not held.any():
        raise DataError(
            f"{teacher.place}: no image can be held out; its classes have too few, so give some by "
            f"--test-data"
        )
    return DistillSplit(table, teacher.read_root(), held, new=False, left_out={})


def new_images(teacher: Run, data: Path, display: Display) -> DistillSplit:
    """The run's images to train on, and those at `data` that are new to it to be judged by.

    Raises:
        DataError: no labeled image is there, or none that is new and of the run's classes.
    """
    known = teacher.read_table(MANIFEST)
    run_root = teacher.read_root()
    read, recognized = recognize_labeled(data, known, run_root, display)
    found = recognized.table
    fresh = found.filter(
        pl.col("kind").is_null() & pl.col("label").is_in(known["label"].unique().to_list())
    )
    shared = fresh["group"].is_in(known["group"].drop_nulls().unique().to_list()).fill_null(False)
    left_out = {kind: int((found["kind"] == kind).sum()) for kind in KINDS}
    left_out |= {"same_group": int(shared.sum()), "unreadable": read.quarantine.height}
    left_out["unknown_class"] = found.filter(pl.col("kind").is_null()).height - fresh.height
    fresh = fresh.filter(~shared)
    if fresh.is_empty():
        raise DataError(
            f"--test-data {data}: no image there is new to {teacher.place} and of its classes; "
            f"give others"
        )
    if not (isinstance(run_root, Path) and isinstance(read.root, Path)):
        raise DataError(
            f"--test-data {data}: both the run's images and these must lie in folders of this "
            f"machine"
        )
    root = Path(os.path.commonpath([run_root, read.root]))
    parts = [
        _below(known, run_root, root),
        _below(fresh.with_columns("held-" + pl.col("duplicate_group")), read.root, root),
    ]
    table = pl.concat([part.select(*SCHEMA) for part in parts])
    order = table["path"].arg_sort().to_numpy()
    held = np.arange(table.height) >= known.height
    return DistillSplit(
        table[order], root, held[order], new=True, left_out={k: v for k, v in left_out.items() if v}
    )


def _below(table: pl.DataFrame, old: Path, new: Path) -> pl.DataFrame:
    """The same images with paths that start from `new`, which is `old` or above it."""
    prefix = old.relative_to(new).as_posix()
    return (
        table
        if prefix == "."
        else table.with_columns((pl.lit(f"{prefix}/") + pl.col("path")).alias("path"))
    )


def begin_student(
    teacher: Run,
    student: Run,
    recipe: Recipe,
    lesson: DistillSplit,
    weight: float,
    temperature: float,
    command: str,
) -> None:
    """Write what the student is to learn, with its recipe; from then on `student` is a run that can
    be trained.

    Args:
        teacher: the finished run.
        student: the run to begin.
        recipe: of the student.
        lesson: its images.
        weight: share of each target that is the member's answer; the rest is the label.
        temperature: of the teacher's calibration.
        command: that makes the same again, for the report.

    Raises:
        RunError: out-of-fold logits are damaged or do not cover the images.
    """
    answers, classes = _answers(teacher, temperature)
    learnt = lesson.table.filter(pl.Series(~lesson.held))
    digests = answers.select("sha256", "answer").unique("sha256")
    joined = learnt.select("path", "label", "sha256").join(
        digests, on="sha256", how="left", maintain_order="left"
    )
    if joined["answer"].null_count():
        raise RunError(
            f"{teacher.place}: its out-of-fold logits do not cover its images; go on with it by "
            f"--resume"
        )
    labels = np.eye(len(classes))[[classes.index(label) for label in joined["label"]]]
    mixed = (weight * joined["answer"].to_numpy() + (1 - weight) * labels).astype(np.float32)
    targets = joined.select("path").with_columns(
        pl.Series("target", mixed, pl.Array(pl.Float32, len(classes)))
    )
    note = {
        "classes": json.dumps(classes, ensure_ascii=False),
        "new": json.dumps(lesson.new),
        "command": command,
    }
    folds = pl.Series("fold", np.where(lesson.held, 0, TRAIN_ONLY), dtype=pl.Int64)
    with student.lock():
        student.write_table(
            TARGETS, targets, note | {"weight": str(weight), "teacher": location(teacher.place)}
        )
        student.write_table(MANIFEST, lesson.table, {"root": str(lesson.root)})
        student.write_table(FOLDS, lesson.table.select("path").with_columns(folds))
        student.write_recipe(recipe)


def _answers(teacher: Run, temperature: float) -> tuple[pl.DataFrame, list[str]]:
    """Columns digest and answer: calibrated probabilities by the member that held each image
    out; and the classes.
    """
    tables, classes = [], teacher.read_classes()
    for fold in teacher.fold_numbers():
        table, names = read_oof(teacher.fold(fold))
        if names != classes:
            raise RunError(f"{teacher.fold(fold).oof}: has other classes than {teacher.place}")
        answers = softmax(table["logits"].to_numpy().astype(np.float64) / temperature, axis=1)
        tables.append(
            table.select("path").with_columns(
                pl.Series("answer", answers, pl.Array(pl.Float64, len(names)))
            )
        )
    manifest = teacher.read_table(MANIFEST).select("path", "sha256")
    return pl.concat(tables).join(manifest, on="path", how="inner"), classes
