"""A finished run -> the split and the soft targets of a student (knowledge distillation).

The target of an image is the answer of the one member that was not trained on it: its out-of-fold
logits, calibrated, mixed with the label (Hinton et al. 2015, arXiv:1503.02531). So no target
repeats a memorized label.

The student is tested on a held-out part: images that are new to the run, or a part of the run's
own. The student sees nothing of that part. If the part is the run's own, all members but one were
trained on each of its images, and a student can inherit a little of what its teachers remember
(Jagielski et al. 2023, arXiv:2303.03446). Knows nothing of ensembles.
"""

import json
import os
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import assign_folds, fold_groups
from bestiary.data.manifest import SCHEMA
from bestiary.data.near_duplicates.recognition import DUPLICATE_KINDS, recognize_labeled
from bestiary.display import Display
from bestiary.errors import DataError, RunError
from bestiary.evaluation.out_of_fold import class_numbers, read_out_of_fold
from bestiary.recipe.options import Recipe
from bestiary.run.images import UNKNOWN_REASON, UnknownRoot
from bestiary.run.layout import FOLDS, MANIFEST, TARGETS, TRAIN_ONLY
from bestiary.run.run import Run
from bestiary.stats.averaging import softmax
from bestiary.storage.files import Root, location


@dataclass(frozen=True, slots=True)
class DistillSplit:
    """The images of a student: what it trains on, and what it is tested on.

    Attributes:
        table: training and test images, columns as in a manifest.
        root: folder that the paths start from.
        is_test: whether the student is tested on an image (images,). It trains on the others.
        unseen: whether the test images are new to the teachers too.
        excluded: number of `--test-data` images that are not used, by reason.
    """

    table: pl.DataFrame
    root: Root
    is_test: NDArray[np.bool_]
    unseen: bool
    excluded: dict[str, int]


def split_run(teacher: Run, share: float) -> DistillSplit:
    """Hold out about `share` of each class of the run's own images, in whole leak groups.

    Args:
        teacher: the finished run.
        share: share of the images to test on, above 0 and at most 0.5.

    Returns:
        The split of the run's images.

    Raises:
        DataError: the classes have too few images to hold any out.
    """
    table = teacher.read_table(MANIFEST)
    options = teacher.read_recipe().folds
    groups = fold_groups(table, options.by)
    folds = assign_folds(
        table["path"],
        table["label"],
        groups,
        round(1 / share),
        options.seed + 1,
    )
    in_first_fold = folds == 0
    is_test = in_first_fold & ~table["label_conflict"].to_numpy()

    # A class without images in the other folds is trained on as a whole.
    trained_classes = set(table["label"].filter(pl.Series(~in_first_fold)))
    is_test &= np.array([label in trained_classes for label in table["label"]])

    # A group with an image that cannot be tested on is trained on as a whole.
    untestable_groups = groups[in_first_fold & ~is_test]
    is_test &= ~np.isin(groups, untestable_groups)

    if not is_test.any():
        raise DataError(
            f"{teacher.place}: no image can be held out, its classes have too few; "
            f"give other images by --test-data"
        )
    return DistillSplit(table, _known_root(teacher), is_test, unseen=False, excluded={})


def split_with_new_images(teacher: Run, data: Path, display: Display) -> DistillSplit:
    """Train on all images of the run, and test on those at `data` that are new to it.

    Args:
        teacher: the finished run.
        data: labeled images, as a folder or a table.
        display: shows progress.

    Returns:
        The split of the run's images and the new ones.

    Raises:
        DataError: no labeled image is at `data`, or none that is new and of the run's classes, or
            images lie in a store.
    """
    known = teacher.read_table(MANIFEST)
    run_root = _known_root(teacher)
    listed, recognition = recognize_labeled(data, known, run_root, display)
    new, excluded = _select_new(known, recognition.table, listed.quarantine.height)
    if new.is_empty():
        raise DataError(
            f"--test-data {data}: no image there is new to {teacher.place} and of its classes; "
            f"give others"
        )
    if not (isinstance(run_root, Path) and isinstance(listed.root, Path)):
        raise DataError(
            f"--test-data {data}: both the run's images and these must lie in folders of this "
            f"machine"
        )
    root = Path(os.path.commonpath([run_root, listed.root]))
    training = _rebase_paths(known, run_root, root)
    test = _rebase_paths(new, listed.root, root)
    table, is_test = _join_sorted(training, test)
    return DistillSplit(table, root, is_test, unseen=True, excluded=excluded)


def _known_root(teacher: Run) -> Root:
    """Open the folder of the teacher's images, which a student is trained on."""
    root = teacher.read_root()
    if isinstance(root, UnknownRoot):
        raise DataError(f"{teacher.place}: a student needs its images, and {UNKNOWN_REASON}")
    return root


def _select_new(
    known: pl.DataFrame, candidates: pl.DataFrame, n_unreadable: int
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Select the images that are new and of a known class; count the others by reason."""
    # New images of a known class, then those of a new group.
    is_new = pl.col("kind").is_null()
    known_classes = known["label"].unique().to_list()
    has_known_class = pl.col("label").is_in(known_classes)
    new = candidates.filter(is_new & has_known_class)
    known_groups = known["group"].drop_nulls().unique().to_list()
    shares_group = new["group"].is_in(known_groups).fill_null(False)
    selected = new.filter(~shares_group)

    # Count the others.
    counts = _count_duplicates(candidates)
    counts["same_group"] = int(shares_group.sum())
    counts["unreadable"] = n_unreadable
    counts["unknown_class"] = candidates.filter(is_new).height - new.height
    excluded = {reason: count for reason, count in counts.items() if count}
    return selected, excluded


def _count_duplicates(candidates: pl.DataFrame) -> dict[str, int]:
    """Count the images that the run has already, by kind of duplicate."""
    counts: dict[str, int] = {}
    for kind in DUPLICATE_KINDS:
        is_kind = candidates["kind"] == kind
        counts[kind] = int(is_kind.sum())
    return counts


def _join_sorted(
    training: pl.DataFrame, test: pl.DataFrame
) -> tuple[pl.DataFrame, NDArray[np.bool_]]:
    """Join both tables, sorted by path, and mark the test images (images,)."""
    parts = [training.select(*SCHEMA), test.select(*SCHEMA)]
    table = pl.concat(parts)
    rows = np.arange(table.height)
    is_test = rows >= training.height
    order = table["path"].arg_sort().to_numpy()
    return table[order], is_test[order]


def _rebase_paths(table: pl.DataFrame, old_root: Path, new_root: Path) -> pl.DataFrame:
    """Let the paths start from `new_root`, which is `old_root` or a folder above it."""
    prefix = old_root.relative_to(new_root).as_posix()
    if prefix == ".":
        return table
    rebased = pl.lit(f"{prefix}/") + pl.col("path")
    return table.with_columns(rebased.alias("path"))


def begin_student(
    teacher: Run,
    student: Run,
    recipe: Recipe,
    split: DistillSplit,
    weight: float,
    temperature: float,
    command: str,
) -> None:
    """Write the student's manifest, folds, soft targets and recipe: a run that can be trained.

    Args:
        teacher: the finished run.
        student: the run to begin.
        recipe: recipe of the student.
        split: images of the student.
        weight: share of the member's answer in each target; the rest is the label.
        temperature: temperature of the teacher's calibration.
        command: command that makes the same student again, for the report.

    Raises:
        RunError: out-of-fold logits are damaged or do not cover the images.
    """
    targets, classes = _soft_targets(teacher, split, weight, temperature)
    note = {
        "classes": json.dumps(classes, ensure_ascii=False),
        "new": json.dumps(split.unseen),
        "command": command,
        "weight": str(weight),
        "teacher": location(teacher.place),
    }
    fold_numbers = np.where(split.is_test, 0, TRAIN_ONLY)
    fold_column = pl.Series("fold", fold_numbers, dtype=pl.Int64)
    fold_table = split.table.select("path").with_columns(fold_column)
    with student.lock():
        student.write_table(TARGETS, targets, note)
        student.write_table(MANIFEST, split.table, {"root": str(split.root)})
        student.write_table(FOLDS, fold_table)
        student.write_recipe(recipe)
    student.remember_root(str(split.root))


def _soft_targets(
    teacher: Run, split: DistillSplit, weight: float, temperature: float
) -> tuple[pl.DataFrame, list[str]]:
    """Mix the members' answers with the labels.

    Returns:
        Columns path and target (classes,) of each training image, and the classes.
    """
    # Find the answer for each training image.
    answers, classes = _out_of_fold_answers(teacher, temperature)
    training = split.table.filter(pl.Series(~split.is_test))
    joined = training.select("path", "label", "sha256").join(
        answers,
        on="sha256",
        how="left",
        maintain_order="left",
    )
    if joined["answer"].null_count():
        raise RunError(
            f"{teacher.place}: its out-of-fold logits do not cover its images; "
            f"continue it with --resume"
        )

    # Mix it with the label.
    n_classes = len(classes)
    one_hot = np.eye(n_classes)[class_numbers(joined["label"], classes)]
    mixed = weight * joined["answer"].to_numpy() + (1 - weight) * one_hot
    targets = pl.Series(
        "target",
        mixed.astype(np.float32),
        pl.Array(pl.Float32, n_classes),
    )
    return joined.select("path").with_columns(targets), classes


def _out_of_fold_answers(teacher: Run, temperature: float) -> tuple[pl.DataFrame, list[str]]:
    """Read the calibrated out-of-fold probabilities.

    Returns:
        Columns sha256 and answer (classes,), one row per digest, and the classes.
    """
    out_of_fold = read_out_of_fold(teacher.load())
    classes = out_of_fold.classes
    if classes != teacher.read_classes():
        raise RunError(f"{teacher.place}: its out-of-fold logits have other classes than it has")
    probabilities = softmax(out_of_fold.logits.astype(np.float64) / temperature)
    answers = pl.Series("answer", probabilities, pl.Array(pl.Float64, len(classes)))

    # Name the images by digest, since paths differ between teacher and student.
    by_digest = out_of_fold.table.select("sha256", answers).unique("sha256")
    return by_digest, classes
