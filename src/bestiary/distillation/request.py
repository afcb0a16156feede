"""Request for distillation: what the user asked for -> a student to train, new or resumed.

Checks the arguments, the teacher and the recipe before any image is read. An existing run is never
overwritten. Does not know training.
"""

import shlex
from collections.abc import Sequence
from pathlib import Path

from bestiary.display import Display
from bestiary.distillation.split import (
    DistillSplit,
    begin_student,
    split_run,
    split_with_new_images,
)
from bestiary.ensemble.card import read_card
from bestiary.errors import ArgumentError, RunError
from bestiary.numbers import counted
from bestiary.printable import shell_name
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import parse_override
from bestiary.run.layout import RECIPE
from bestiary.run.run import Run
from bestiary.run.targets import read_student_metadata
from bestiary.storage.files import location
from bestiary.training.request import check_requirements

# The images that judge the student must not pick its epoch too.
KEEP_LAST_EPOCH = "train.keep_best=false"
KEEP_BEST_EPOCH = "train.keep_best=true"


def begin_or_open(
    teacher: Run,
    out: Path,
    overrides: Sequence[str],
    test_data: Path | None,
    test_share: float,
    weight: float,
    resume: bool,
    display: Display,
) -> Run:
    """Begin the student at `out`, or open it to resume; arguments as for `bestiary.distill`.

    Returns:
        The student's run, ready to be trained.

    Raises:
        RunError: the teacher is not finished, or `out` is not an empty folder, or it is a student
            and `resume` is false.
        ArgumentError: a value is out of its range.
        DataError: the test images cannot be used.
    """
    student = Run(out)
    if student.exists:
        student = Run.open(out, data=teacher.data)
        _check_resumable(teacher, student, resume)
        # On this machine the student's own folder is known, which may be above the teacher's.
        return Run(out) if Run(out).named_root() else student
    if out.exists() and not student.is_vacant:
        raise RunError(f"{out}: is not empty and not a run; choose a new folder")
    _check_options(overrides, test_share, weight)
    temperature = _read_temperature(teacher)
    recipe = load_recipe(teacher.file(RECIPE), [*overrides, KEEP_LAST_EPOCH])
    _check_worthwhile(teacher, recipe)
    check_requirements(recipe)

    if test_data:
        split = split_with_new_images(teacher, test_data, display)
        test_option = ["--test-data", str(test_data)]
    else:
        split = split_run(teacher, test_share)
        test_option = ["--test-share", f"{test_share:g}"]

    recipe = recipe.with_values({"data.root": str(split.root)})
    command = _repeat_command(teacher, overrides, test_option, weight)
    begin_student(teacher, student, recipe, split, weight, temperature, command)
    display.line(_describe_split(split))
    return Run(out, data=str(split.root))


def _repeat_command(
    teacher: Run, overrides: Sequence[str], test_option: list[str], weight: float
) -> str:
    """The command that makes the same student again."""
    words = ["bestiary", "distill", teacher.place, "NEW_RUN", "--weight", f"{weight:g}"]
    words += test_option
    if overrides:
        words += ["--set", *overrides]
    return shlex.join(words)


def _check_resumable(teacher: Run, student: Run, resume: bool) -> None:
    if not resume:
        raise RunError(
            f"{student.path}: holds a run already; continue it with --resume, or choose another "
            f"folder"
        )
    its_teacher = read_student_metadata(student)["teacher"]
    if its_teacher != location(teacher.place):
        raise RunError(
            f"{student.path}: is the student of another run, {its_teacher}; name that one"
        )


def _check_options(overrides: Sequence[str], test_share: float, weight: float) -> None:
    bounded = (("--weight", weight, 1.0), ("--test-share", test_share, 0.5))
    for option, value, largest in bounded:
        if not 0 < value <= largest:
            raise ArgumentError(f"{option} {value}: must be above 0 and at most {largest:g}")
    if any(parse_override(override) == ("train", "keep_best", True) for override in overrides):
        raise ArgumentError(
            f"--set {KEEP_BEST_EPOCH}: the images that judge a student cannot pick its epoch; "
            f"leave it out"
        )


def _check_worthwhile(teacher: Run, recipe: Recipe) -> None:
    """Refuse a student that would cost as much as its teacher, whose members share one network."""
    of_teacher = teacher.read_recipe()
    if not of_teacher.train.epochs and recipe.model.backbone == of_teacher.model.backbone:
        raise ArgumentError(
            f"{teacher.place}: its members are heads of one frozen network, so a student of the "
            f"same network would be no faster; export it (bestiary export "
            f"{shell_name(teacher.place)} model.onnx), or name a smaller network by "
            "--set model.backbone=NAME train.epochs=20"
        )


def _read_temperature(teacher: Run) -> float:
    """Read the temperature of the teacher's calibration."""
    calibration = read_card(teacher).calibration
    if calibration is None:
        raise RunError(
            f"{teacher.place}: not all of its folds have ended; go on with bestiary train DATA "
            f"{shell_name(teacher.place)} --resume"
        )
    return calibration.temperature


def _describe_split(split: DistillSplit) -> str:
    n_test = int(split.is_test.sum())
    n_train = int((~split.is_test).sum())
    origin = "new ones" if split.unseen else "others of the run"
    line = (
        f"The student learns from {counted(n_train, 'image')} and is judged by {n_test:,} {origin}"
    )
    if not split.excluded:
        return line

    reasons = []
    for reason, count in split.excluded.items():
        words = reason.replace("_", " ")
        reasons.append(f"{count} {words}")
    return f"{line} (left out: {', '.join(reasons)})"
