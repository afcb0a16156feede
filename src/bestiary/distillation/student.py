"""A finished run -> a student of it, judged on images that it has not seen, and what it costs and
wins.

The student learns from the members' out-of-fold answers (`bestiary.distillation.split`). Where
images are given that are new to the whole run, the mean of the members' weights is tried as well,
and the better of the two is kept; the run's own images cannot judge it, since each of them has
trained all members but one.
"""

import json
import shlex
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import decode, read_image
from bestiary.display import Display
from bestiary.distillation.latency import compare_speed
from bestiary.distillation.split import DistillSplit, begin_student, new_images, split_run
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, DataError, RunError
from bestiary.evaluation.finish import finish_run
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.model.classifier import Classifier, memory_format, save_member
from bestiary.model.compute import best_device
from bestiary.recipe.load import load_recipe
from bestiary.run.layout import DISTILL, ENSEMBLE, METRICS, RECIPE, TRAIN_ONLY
from bestiary.run.oof import write_oof
from bestiary.run.run import Run
from bestiary.run.targets import read_note_of
from bestiary.stats.intervals import Interval, share_interval
from bestiary.stats.paired import paired_difference
from bestiary.stats.selection import Labels, Logits, best_of, cross_chosen
from bestiary.storage.files import location
from bestiary.training.autotune import autotune_compute
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import train_folds
from bestiary.training.dataset import TrainingSet, read_training_set
from bestiary.training.prediction import predict_rows
from bestiary.training.request import check_requirements
from bestiary.training.weight_averaging import average_members, has_moved_norms, refresh_norms

KEPT_LAST = "train.keep_best=false"  # the images that judge the student must not pick its epoch too


@dataclass(frozen=True, slots=True)
class Distilled:
    """What `distill` has made; prints as a few lines.

    Attributes:
        run: the student's.
        found: what distill.json holds.
    """

    run: Run
    found: dict[str, Any]

    def __str__(self) -> str:
        lines = [*self.found["lines"], *self.found["speed_lines"]]
        return "\n".join([*lines, f"What next: bestiary export {self.run.path} model.onnx"])


def begin_or_open(
    teacher: Run,
    out: Path,
    overrides: Sequence[str],
    held: Path | None,
    share: float,
    weight: float,
    resume: bool,
    display: Display,
) -> Run:
    """Begin the student at `out`, or open it to go on with; arguments as `bestiary.distill` takes
    them.

    Raises:
        RunError: the run is not finished, or `out` holds something else or may not be touched
            without ``--resume``.
        ArgumentError: a value is out of its range.
        DataError: the images given to judge by are of no use.
    """
    student = Run(out)
    if student.exists:
        _check_resumable(teacher, student, resume)
        return student
    if out.exists() and not student.is_vacant:
        raise RunError(f"{out}: is not empty and not a run; choose a new folder")
    _check_asked(overrides, share, weight)
    ensemble = teacher.read_json(ENSEMBLE)
    if "calibration" not in ensemble:
        raise RunError(
            f"{teacher.place}: not all of its folds have ended; go on with it by --resume first"
        )
    recipe = load_recipe(teacher.file(RECIPE), [*overrides, KEPT_LAST])
    check_requirements(recipe)
    lesson = new_images(teacher, held, display) if held else split_run(teacher, share)
    recipe = recipe.with_values({"data.root": str(lesson.root)})
    words = ["bestiary", "distill", teacher.place, "NEW_RUN", "--weight", f"{weight:g}"]
    words += ["--test-data", str(held)] if held else ["--test-share", f"{share:g}"]
    command = shlex.join([*words, *(["--set", *overrides] if overrides else [])])
    temperature = float(ensemble["calibration"]["temperature"])
    begin_student(teacher, student, recipe, lesson, weight, temperature, command)
    display.line(_beginning(lesson))
    return student


def _check_resumable(teacher: Run, student: Run, resume: bool) -> None:
    if not resume:
        raise RunError(
            f"{student.path}: holds a run already; go on with it by --resume, or choose another "
            f"folder"
        )
    of = read_note_of(student)["teacher"]
    if of != location(teacher.place):
        raise RunError(f"{student.path}: is the student of another run, {of}; name that one")


def _check_asked(overrides: Sequence[str], share: float, weight: float) -> None:
    for name, value, most in (("--weight", weight, 1.0), ("--test-share", share, 0.5)):
        if not 0 < value <= most:
            raise ArgumentError(f"{name} {value}: must be above 0 and at most {most:g}")
    if any(option.replace(" ", "") == "train.keep_best=true" for option in overrides):
        raise ArgumentError(
            f"--set {KEPT_LAST[:-5]}true: images that judge a student cannot pick it; leave it out"
        )


def _beginning(lesson: DistillSplit) -> str:
    left = ", ".join(
        f"{count} {reason.replace('_', ' ')}" for reason, count in lesson.left_out.items()
    )
    where = "new ones" if lesson.new else "others of the run"
    return (
        f"The student learns from {int((~lesson.held).sum()):,} images and is judged by "
        f"{int(lesson.held.sum()):,} "
        f"{where}{f' (left out: {left})' if left else ''}"
    )


def distill_run(
    teacher: Run, student: Run, checkpointer: Checkpointer, display: Display
) -> Distilled:
    """Train the student, try the mean of the members, keep the better one, and say what it costs
    and wins.

    Raises:
        RunError: a file of either run is damaged.
        DataError: an image has vanished.
    """
    if student.file(DISTILL).exists():
        return Distilled(student, student.read_json(DISTILL))
    train_folds(student, [0], checkpointer, display)
    new = json.loads(read_note_of(student)["new"])
    ensemble, trial = Ensemble.load(teacher), _Trial.of(student)
    reference = _by_ensemble(ensemble, trial, display) if new else _by_members(teacher, trial)
    logits = {"student": trial.logits}
    average = _average(teacher, trial, display) if new and _is_alike(teacher, student) else None
    if average is not None:
        logits["average"] = trial.predict(average)
    kept = best_of(logits, trial.labels)
    honest = cross_chosen(logits, trial.labels, trial.groups)
    if average is not None and kept == "average":
        _adopt(average, trial, logits[kept])
    finish_run(student)
    scores = {
        name: asdict(trial.share(part.argmax(axis=1) == trial.labels))
        for name, part in logits.items()
    }
    found = {
        "kept": kept,
        "backbone": student.read_recipe().model.backbone,
        "new_images": new,
        "before": asdict(trial.share(reference == trial.labels)),
        "after": asdict(trial.share(honest)),
        "difference": asdict(paired_difference(reference == trial.labels, honest, trial.groups)),
        "candidates": scores,
    }
    found["lines"] = _lines(found, teacher, len(ensemble.members))
    if not student.read_recipe().train.epochs:
        found["lines"].append(
            "The recipe trains no epoch: the student's head was fitted to labels, not to the "
            "members"
        )
    speeds = compare_speed(ensemble, Ensemble.load(student), _images(trial, ensemble), display)
    found |= {
        "speed": [asdict(speed) for speed in speeds],
        "speed_lines": [str(speed) for speed in speeds],
    }
    student.write_json(DISTILL, found)
    return Distilled(student, found)


@dataclass(frozen=True)
class _Trial:
    """The images that judge a student, and its answers to them.

    Attributes:
        student: its run.
        data: its images.
        table: those held out, with their labels.
        logits: the student's (images, classes).
        labels: class numbers (images,).
        groups: group of each image (images,).
    """

    student: Run
    data: TrainingSet
    table: pl.DataFrame
    logits: Logits
    labels: Labels
    groups: Labels

    @classmethod
    def of(cls, student: Run) -> "_Trial":
        found = read_out_of_fold(student).scored()
        data = read_training_set(student)
        return cls(student, data, found.table, found.logits, found.labels, found.groups)

    def share(self, hits: NDArray[np.bool_]) -> Interval:
        return share_interval(hits, self.groups)

    def predict(self, classifier: Classifier) -> Logits:
        """Logits (images, classes) by another network, as the student's were computed."""
        place, device = {path: row for row, path in enumerate(self.data.paths)}, best_device()
        rows = np.array([place[path] for path in self.table["path"]], np.int64)
        arithmetic = autotune_compute(self.student, 0, len(self.data.classes), Display(quiet=True))
        ready = classifier.to(device).to(memory_format=memory_format(True))
        return predict_rows(self.data, ready, rows, device, arithmetic.precision)


def _by_ensemble(ensemble: Ensemble, trial: _Trial, display: Display) -> Labels:
    """The ensemble's answer to each held-out image (images,)."""
    paths, parts = [trial.data.root / path for path in trial.table["path"]], []
    with display.counter("Asking the ensemble") as tick:
        for scored in ensemble.score(paths, tick):
            if scored.reasons:
                row, reason = next(iter(scored.reasons.items()))
                raise DataError(
                    f"{paths[row]}: {reason}, though it was whole when the student began; put it "
                    f"back"
                )
            parts.append(ensemble.probabilities(scored.logits).argmax(axis=1))
    return np.concatenate(parts)


def _by_members(teacher: Run, trial: _Trial) -> Labels:
    """The answer to each held-out image (images,) of the teacher's member that held it out too."""
    table = read_out_of_fold(teacher).table
    joined = trial.table.select("path").join(
        table.select("path", "logits"), on="path", how="left", maintain_order="left"
    )
    return np.asarray(joined["logits"].to_numpy().argmax(axis=1))


def _is_alike(teacher: Run, student: Run) -> bool:
    """Whether the mean of the members' weights would be a network of the kind that was asked
    for.
    """
    first, second = teacher.read_recipe(), student.read_recipe()
    sizes = [recipe.view.eval_side for recipe in (first, second)]
    same = [
        (
            r.model.backbone,
            r.model.normalize,
            r.model.power_norm,
            r.view.eval_resize,
            r.view.eval_crop,
        )
        for r in (first, second)
    ]
    return sizes[0] == sizes[1] and same[0] == same[1]


def _average(teacher: Run, trial: _Trial, display: Display) -> Classifier:
    folds = [int(member["fold"]) for member in teacher.read_json(ENSEMBLE)["members"]]
    display.line(f"Averaging the weights of {len(folds)} members")
    average = average_members(teacher, folds)
    if has_moved_norms(teacher, folds):
        refresh_norms(average, trial.data, np.flatnonzero(trial.data.folds == TRAIN_ONLY))
    return average


def _adopt(average: Classifier, trial: _Trial, logits: Logits) -> None:
    """Make the mean of the members the run's member; the student's own weights are kept beside
    it.
    """
    files = trial.student.fold(0)
    if not files.student.exists():
        shutil.copyfile(files.weights, files.student)
    save_member(average.cpu(), files.weights)
    answers = pl.Series("logits", logits, pl.Array(pl.Float32, logits.shape[1]))
    held = pl.read_parquet(files.oof, columns=["path"])
    fresh = trial.table.select("path", "label").with_columns(answers)
    write_oof(
        files, held.join(fresh, on="path", how="inner", maintain_order="left"), trial.data.classes
    )


def _images(trial: _Trial, ensemble: Ensemble) -> list[NDArray[np.uint8]]:
    """Some of the held-out images, decoded and of the ensemble's size."""
    view = ensemble.view
    return [view(decode(read_image(trial.data.root / path))) for path in trial.table["path"][:16]]


def _lines(found: dict[str, Any], teacher: Run, members: int) -> list[str]:
    """What was found, in words."""
    before, after, lost = found["before"], found["after"], found["difference"]
    who = (
        f"the ensemble of {members}"
        if found["new_images"]
        else "the members that held them out too"
    )
    where = "new to all" if found["new_images"] else "of the run"
    lines = [
        f"On {after['n']:,} images {where}: {who} {before['value']:.4f}, this "
        f"{after['value']:.4f}: difference "
        f"{100 * lost['value']:+.2f} points, 95 % interval {100 * lost['low']:+.2f} to "
        f"{100 * lost['high']:+.2f} "
        f"(paired, {lost['wins']} won, {lost['losses']} lost)"
    ]
    if len(found["candidates"]) > 1:
        both = ", ".join(
            f"{name} {score['value']:.4f}" for name, score in found["candidates"].items()
        )
        what = "the mean of the members' weights" if found["kept"] == "average" else "the student"
        return [
            f"Kept: {what} ({both}; above, each half of the images is judged by what the other "
            f"half prefers)",
            *lines,
        ]
    if found["new_images"]:
        return [
            "Kept: the student; it is another kind of network, so the members' mean was not tried",
            *lines,
        ]
    estimate = teacher.read_json(METRICS)["oof"]["ensemble"]
    return [
        "Kept: the student; the members' mean can be judged by images that are new to the run "
        "alone (--test-data)",
        *lines,
        f"The ensemble itself is estimated at {estimate['value']:.4f}, {estimate['low']:.4f} to "
        f"{estimate['high']:.4f}"
        "; its members, save one each, were trained on these images, of which a student may "
        "inherit a little",
    ]
