"""A finished run -> one student network: knowledge distillation, judged on a held-out part.

The student learns from the members' out-of-fold answers (`bestiary.distillation.split`). Given
test images that are new to the whole run, the mean of the members' weights is a second candidate,
and the better one is kept. The run's own images cannot judge that mean: all members but one were
trained on each of them.
"""

import json
import shutil
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import atomic_path
from bestiary.data.decode import decode, read_image
from bestiary.display import Display
from bestiary.distillation.latency import compare_speed
from bestiary.distillation.summary import summary_lines
from bestiary.ensemble.card import read_card
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DamagedError, DataError
from bestiary.evaluation.finish import finish_run
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.model.classifier import Classifier, save_member
from bestiary.model.compute import memory_format
from bestiary.model.device import best_device
from bestiary.model.tensor_card import claimed_checksum
from bestiary.numbers import counted
from bestiary.printable import shell_name
from bestiary.run.images import RunImages
from bestiary.run.layout import DISTILL, TRAIN_ONLY, FoldFiles
from bestiary.run.oof import write_oof
from bestiary.run.run import Run
from bestiary.run.targets import read_student_metadata
from bestiary.stats.intervals import Interval, share_interval
from bestiary.stats.paired import paired_difference
from bestiary.stats.selection import Labels, Logits, best_of, crossfit_logits
from bestiary.training.autotune import autotune_compute
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import train_folds
from bestiary.training.dataset import TrainingSet, read_training_set
from bestiary.training.prediction import predict_rows
from bestiary.training.tracking.start import track_scores
from bestiary.training.weight_averaging import average_members, has_moved_norms, refresh_norms

TIMED_IMAGES = 16  # of the held-out part, that both networks are timed on


@dataclass(frozen=True, slots=True)
class DistillResult:
    """The result of `bestiary.distill`; prints as a few lines.

    Attributes:
        run: run of the student.
        findings: content of distill.json.
    """

    run: Run
    findings: dict[str, Any]

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        words = ("lines", "speed_lines", "member")
        numbers = {key: value for key, value in self.findings.items() if key not in words}
        return {"run": self.run.place, **numbers}

    def __str__(self) -> str:
        lines = [
            *self.findings["lines"],
            *self.findings["speed_lines"],
            f"What next: bestiary export {shell_name(self.run.path)} model.onnx",
        ]
        return "\n".join(lines)


def distill_run(
    teacher: Run, student: Run, checkpointer: Checkpointer, display: Display
) -> DistillResult:
    """Train the student, keep the better of it and the mean of the members, and measure both.

    Args:
        teacher: the finished run.
        student: a run from `bestiary.distillation.request.begin_or_open`.
        checkpointer: when the training state is saved.
        display: shows progress.

    Returns:
        The student's run and what was measured, which distill.json holds too.

    Raises:
        RunError: a file of either run is damaged.
        DataError: an image is gone.
    """
    if student.file(DISTILL).exists():
        return DistillResult(student, _read_findings(student))
    _put_student_back(student.fold(0))
    train_folds(student, [0], checkpointer, display)
    is_unseen = bool(json.loads(read_student_metadata(student)["new"]))
    ensemble = Ensemble.load(teacher)
    test = _TestPart.read(student)

    # The ensemble answers for the teacher, unless its members were trained on the test images.
    if is_unseen:
        teacher_labels = _ensemble_labels(ensemble, test, display)
    else:
        teacher_labels = _member_labels(teacher, test)
    teacher_hits = teacher_labels == test.labels

    # Choose the network to keep, and complete the student's run with it.
    best, candidates, answers = _choose_candidate(teacher, test, is_unseen, display)
    finish_run(student)
    track_scores(student, display.notice)

    # Measure accuracy and latency.
    findings = {
        "kept": best,
        "backbone": student.read_recipe().model.backbone,
        "new_images": is_unseen,
        **_compare_accuracy(teacher_hits, candidates, answers, test),
    }
    findings["lines"] = summary_lines(findings, teacher, student, len(ensemble.folds))
    findings |= _compare_latency(ensemble, Ensemble.load(student), test, display)
    findings["member"] = claimed_checksum(student.fold(0).weights)
    student.write_json(DISTILL, findings)
    return DistillResult(student, findings)


def _read_findings(student: Run) -> dict[str, Any]:
    """Read distill.json; DamagedError where it lacks the lines that are printed."""
    findings = student.read_json(DISTILL)
    if findings.get("member") not in (None, claimed_checksum(student.fold(0).weights)):
        raise DamagedError(
            f"{student.file(DISTILL)}: is of another student; put the right one back, or remove it "
            "and --resume"
        )
    for name in ("lines", "speed_lines"):
        lines = findings.get(name)
        if not isinstance(lines, list) or not all(isinstance(line, str) for line in lines):
            raise DamagedError.foreign(
                student.file(DISTILL), f"no {name}", "remove it and --resume"
            )
    return findings


@dataclass(frozen=True)
class _TestPart:
    """The held-out part of a student, with the student's own answers.

    Attributes:
        student: run of the student.
        data: all images of the student.
        images: the same, each compared with its digest before it is given.
        table: the held-out images, with their labels.
        logits: the student's logits (images, classes).
        labels: class numbers (images,).
        groups: group of each image (images,).
    """

    student: Run
    data: TrainingSet
    images: RunImages
    table: pl.DataFrame
    logits: Logits
    labels: Labels
    groups: Labels

    @classmethod
    def read(cls, student: Run) -> "_TestPart":
        snapshot = student.load()
        answers = read_out_of_fold(snapshot).scorable()
        return cls(
            student=student,
            data=read_training_set(student),
            images=snapshot.images,
            table=answers.table,
            logits=answers.logits,
            labels=answers.labels,
            groups=answers.groups,
        )

    def accuracy(self, hits: NDArray[np.bool_]) -> Interval:
        return share_interval(hits, self.groups)

    def predict(self, classifier: Classifier) -> Logits:
        """Compute logits (images, classes) of another network in the way of the student's."""
        device = best_device()
        n_classes = len(self.data.classes)
        compute = autotune_compute(self.student, 0, n_classes, Display(quiet=True))
        classifier.to(device)
        classifier.to(memory_format=memory_format(True))

        row_of_path = {path: row for row, path in enumerate(self.data.paths)}
        rows = [row_of_path[path] for path in self.table["path"]]
        return predict_rows(
            self.data,
            classifier,
            np.array(rows, np.int64),
            device,
            compute.precision,
        )


def _ensemble_labels(ensemble: Ensemble, test: _TestPart, display: Display) -> Labels:
    """Predict each held-out image (images,) with the ensemble."""
    paths = [test.images / path for path in test.table["path"]]
    labels = []
    with display.counter("Asking the ensemble") as tick:
        for batch in ensemble.iter_logits(paths, tick):
            if batch.reasons:
                row, reason = next(iter(batch.reasons.items()))
                raise DataError(
                    f"{paths[row]}: {reason}, but it was readable when the student began; "
                    f"put it back"
                )
            probabilities = ensemble.probabilities(batch.logits)
            labels.append(probabilities.argmax(axis=1))
    return np.concatenate(labels)


def _member_labels(teacher: Run, test: _TestPart) -> Labels:
    """Predict each held-out image (images,) with the member that was not trained on it."""
    answers = read_out_of_fold(teacher.load()).table.select("path", "logits")
    joined = test.table.select("path").join(
        answers,
        on="path",
        how="left",
        maintain_order="left",
    )
    logits = joined["logits"].to_numpy()
    return np.asarray(logits.argmax(axis=1))


def _choose_candidate(
    teacher: Run, test: _TestPart, is_unseen: bool, display: Display
) -> tuple[str, dict[str, Logits], Logits]:
    """Make the better candidate the run's member: the student, or the mean of the members.

    Returns:
        Name of the better one, each candidate's logits (images, classes), and those that the choice
        does not flatter.
    """
    candidates = {"student": test.logits}
    if not is_unseen or not _can_average(teacher, test.student):
        return "student", candidates, test.logits
    average = _average_members(teacher, test, display)
    candidates["average"] = test.predict(average)
    best = best_of(candidates, test.labels)
    answers = crossfit_logits(candidates, test.labels, test.groups)
    if best == "average" or not np.array_equal(answers, test.logits):
        files = test.student.fold(0)
        _keep_student_weights(files)
        if best == "average":
            save_member(average.cpu(), files.weights)
        _write_answers(test, answers)
    return best, candidates, answers


def _can_average(teacher: Run, student: Run) -> bool:
    """Whether the mean of the members' weights is a network of the kind that was asked for."""

    def kind(run: Run) -> tuple[object, ...]:
        recipe = run.read_recipe()
        return (
            recipe.view.eval_side,
            recipe.view.eval_resize,
            recipe.view.eval_crop,
            recipe.model.backbone,
            recipe.model.normalize,
            recipe.model.power_norm,
        )

    return kind(teacher) == kind(student)


def _average_members(teacher: Run, test: _TestPart, display: Display) -> Classifier:
    folds = read_card(teacher).folds
    display.line(f"Averaging the weights of {counted(len(folds), 'member')}")
    average = average_members(teacher, folds)
    if has_moved_norms(teacher, folds):
        is_train = test.data.folds == TRAIN_ONLY
        refresh_norms(average, test.data, np.flatnonzero(is_train))
    return average


def _write_answers(test: _TestPart, logits: Logits) -> None:
    """Write logits that the choice does not flatter: all scores of the run are made of them."""
    files = test.student.fold(0)
    dtype = pl.Array(pl.Float32, logits.shape[1])
    answers = pl.Series("logits", logits, dtype)
    in_order = pl.read_parquet(files.oof, columns=["path"])
    table = in_order.join(
        test.table.select("path", "label").with_columns(answers),
        on="path",
        how="inner",
        maintain_order="left",
    )
    write_oof(files, table, test.data.classes)


def _put_student_back(files: FoldFiles) -> None:
    """Begin from the student's own weights and logits, whatever an interrupted call has chosen."""
    if files.student.exists():
        files.oof.unlink(missing_ok=True)  # some may be the mean's; they are computed again
        with atomic_path(files.weights) as temporary:
            shutil.copyfile(files.student, temporary)


def _keep_student_weights(files: FoldFiles) -> None:
    """Copy the student's weights before the mean overwrites them; a resumed call keeps the copy."""
    if files.student.exists():
        return
    with atomic_path(files.student) as temporary:
        shutil.copyfile(files.weights, temporary)


def _decode_for_timing(test: _TestPart, ensemble: Ensemble) -> list[NDArray[np.uint8]]:
    """Decode some of the held-out images, at the size of the ensemble's view."""
    paths = [test.images / path for path in test.table["path"][:TIMED_IMAGES]]
    images = []
    for path in paths:
        view = ensemble.view
        pixels = decode(read_image(path), white=view.white)
        images.append(view(pixels))
    return images


def _compare_accuracy(
    teacher_hits: NDArray[np.bool_],
    candidates: dict[str, Logits],
    answers: Logits,
    test: _TestPart,
) -> dict[str, Any]:
    """Compare the teacher's hits (images,) with the student's, and give each candidate's accuracy.

    The student's answers (images, classes) are those that the choice does not flatter.
    """
    student_hits = answers.argmax(axis=1) == test.labels
    before = test.accuracy(teacher_hits)
    after = test.accuracy(student_hits)
    difference = paired_difference(teacher_hits, student_hits, test.groups)

    accuracies = {}
    for name, logits in candidates.items():
        hits = logits.argmax(axis=1) == test.labels
        accuracies[name] = asdict(test.accuracy(hits))
    return {
        "before": asdict(before),
        "after": asdict(after),
        "difference": asdict(difference),
        "candidates": accuracies,
    }


def _compare_latency(
    teacher: Ensemble,
    student: Ensemble,
    test: _TestPart,
    display: Display,
) -> dict[str, Any]:
    """Time both on some of the held-out images."""
    images = _decode_for_timing(test, teacher)
    speeds = compare_speed(teacher, student, images, display)
    return {
        "speed": [asdict(speed) for speed in speeds],
        "speed_lines": [str(speed) for speed in speeds],
    }
