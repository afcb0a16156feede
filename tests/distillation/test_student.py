"""Distillation: the split and soft targets, resuming, averaged members, latency, wrong options."""

import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from documented_keys import found_keys
from scipy import stats
from scipy.special import softmax

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.cli.documents import result_document
from bestiary.distillation import student as student_module
from bestiary.distillation.latency import _latency_ratio
from bestiary.distillation.student import _keep_student_weights
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.results import read_results
from bestiary.model.classifier import load_member
from bestiary.reporting import sections
from bestiary.reporting.model_card import model_card
from bestiary.run.layout import TRAIN_ONLY, FoldFiles
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.run.targets import read_targets
from bestiary.training.dataset import TrainingSet
from bestiary.training.weight_averaging import average_members, has_moved_norms, refresh_norms


@pytest.fixture(scope="module")
def more_beasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The run's 27 images of three species, and four new images of each."""
    folder = tmp_path_factory.mktemp("more") / "beasts"
    draw_sample(folder, species=3, per_species=13, size=48)
    return folder


@pytest.fixture(scope="module")
def student(small: Run, more_beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student judged by new images. Tests must not change it."""
    out = tmp_path_factory.mktemp("students") / "student"
    return bestiary.distill(small.path, out, test_data=more_beasts, weight=0.25, quiet=True).run


@pytest.fixture(scope="module")
def own_data_student(small: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student judged by a part of the run's own images. Tests must not change it."""
    out = tmp_path_factory.mktemp("students") / "student"
    return bestiary.distill(small.path, out, test_share=0.3, quiet=True).run


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["student", "own_data_student"])
def test_targets_are_out_of_fold_answers(
    kind: str, small: Run, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(kind)
    weight = {"student": 0.25, "own_data_student": 0.5}[kind]
    temperature = small.read_json("ensemble.json")["calibration"]["temperature"]
    answers = {}
    for fold in small.fold_numbers():
        table, classes = read_oof(small.fold(fold))
        for path, label, logits in table.select("path", "label", "logits").rows():
            one_hot = np.array([name == label for name in classes], float)
            answers[Path(path).name] = (
                weight * softmax(np.array(logits) / temperature) + (1 - weight) * one_hot
            )
    targets = pl.read_parquet(run.file("targets.parquet"))
    for path, target in targets.rows():
        np.testing.assert_allclose(target, answers[Path(path).name], atol=1e-6)
    folds = run.read_table("folds.parquet")
    assert sorted(targets["path"]) == sorted(folds.filter(fold=TRAIN_ONLY)["path"])
    assert targets.height == (27 if kind == "student" else 27 - folds.filter(fold=0).height)


@pytest.mark.slow
def test_only_new_images_judge_a_student(student: Run, small: Run, more_beasts: Path) -> None:
    test_paths = student.read_table("folds.parquet").filter(fold=0)["path"]
    digests = student.read_table("manifest.parquet").filter(
        pl.col("path").is_in(test_paths.implode())
    )["sha256"]
    assert len(test_paths) == 12 and not set(digests) & set(
        small.read_table("manifest.parquet")["sha256"]
    )
    found = student.read_json("distill.json")
    assert found["new_images"] and set(found["candidates"]) == {"student", "average"}
    # bestiary evaluate measures the same accuracy of the ensemble
    evaluated = bestiary.evaluate(small.path, more_beasts, quiet=True).scores
    assert found["before"]["value"] == pytest.approx(evaluated["ensemble"]["logits"]["value"])
    assert evaluated["n"] == found["before"]["n"] == 12
    # and so do the predictions of the kept network
    table = student.read_table("manifest.parquet").filter(
        pl.col("path").is_in(test_paths.implode())
    )
    ensemble = Ensemble.load(student, device="cpu", engine="torch")
    right = (
        ensemble.predict([student.read_root() / path for path in table["path"]])
        == table["label"].to_numpy()
    )
    assert found["candidates"][found["kept"]]["value"] == pytest.approx(right.mean())
    # the run's own score is not flattered by the choice
    scores = student.read_scores()
    assert scores is not None
    assert scores["accuracy"]["value"] == pytest.approx(found["after"]["value"])


@pytest.mark.slow
def test_without_test_data_own_images_judge(own_data_student: Run, small: Run) -> None:
    found = own_data_student.read_json("distill.json")
    assert (found["new_images"], found["kept"], list(found["candidates"])) == (
        False,
        "student",
        ["student"],
    )
    test_paths = own_data_student.read_table("folds.parquet").filter(fold=0)["path"].to_list()
    labels = own_data_student.read_table("manifest.parquet").filter(
        pl.col("path").is_in(test_paths)
    )["label"]
    assert labels.n_unique() == 3 and 6 <= len(test_paths) <= 9
    oof = pl.concat([read_oof(small.fold(fold))[0] for fold in small.fold_numbers()]).filter(
        pl.col("path").is_in(test_paths)
    )
    right = [small.read_classes()[int(np.argmax(row))] for row in oof["logits"].to_list()] == oof[
        "label"
    ].to_numpy()
    assert found["before"]["value"] == pytest.approx(right.mean())


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["student", "own_data_student"])
def test_student_works_with_other_verbs(
    kind: str, beasts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(kind)
    assert run.score_line is not None and run.fold_numbers() == [0]
    assert "1 fold" in str(bestiary.show(run.path))
    predicted = bestiary.predict(run.path, beasts, out=tmp_path / "p.csv", quiet=True).table
    assert predicted.height == 27 and predicted["prediction_set"].null_count() == 0
    made = bestiary.export(run.path, tmp_path / "m.pt2", format="torch", quiet=True)
    assert (made.card["members"], made.card["thresholds"] is None) == ([0], False)
    results = read_results(run)  # what the report is made of
    assert (
        len(results.labels)
        == results.scores["accuracy"]["n"]
        == run.read_table("folds.parquet").filter(fold=0).height
    )
    assert np.isfinite(results.probabilities).all()
    assert sections.reproduce_command(results).startswith(
        f"bestiary distill {teacher_of(run)} NEW_RUN"
    )
    labels = bestiary.labels(run, out=tmp_path / "labels")  # as its last words say
    assert (labels.folder / "fixes.csv").exists()
    card = model_card(results)
    assert "bestiary distill RUN NEW_RUN" in card and "bestiary train" not in card
    assert "One network" in sections.method_text(run.read_recipe(), len(run.fold_numbers()))
    assert "ensemble" not in sections.accuracy_text(results)


def teacher_of(student: Run) -> str:
    return str(pl.read_parquet_metadata(student.file("targets.parquet"))["teacher"])


@pytest.mark.slow
def test_resume_gives_same_bits(
    own_data_student: Run, small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    resumed = tmp_path / "resumed"
    resumed.mkdir()
    for name in (
        "recipe.toml",
        "manifest.parquet",
        "folds.parquet",
        "targets.parquet",
        "SHA256SUMS",
        "compute.json",
    ):
        shutil.copy(own_data_student.file(name), resumed / name)
    line = fails("distill", small.path, resumed, "--quiet")
    assert "--resume" in line
    bestiary.distill(small.path, resumed, resume=True, quiet=True)
    digests = [run.fold(0).weights.read_bytes() for run in (own_data_student, Run(resumed))]
    assert digests[0] == digests[1]
    again = bestiary.distill(small.path, resumed, resume=True, quiet=True)
    assert again.findings == Run(resumed).read_json("distill.json")
    found_keys(
        "distill", result_document("distill", again)
    )  # as docs/reference/programs.md has them


def test_training_set_reads_soft_targets(own_data_student: Run) -> None:
    tables = (
        own_data_student.read_table("manifest.parquet"),
        own_data_student.read_root(),
        own_data_student.read_table("folds.parquet"),
    )
    plain = TrainingSet.of(own_data_student.read_recipe(), *tables)
    rows = np.array([3, 0, 7])
    cpu = torch.device("cpu")
    np.testing.assert_array_equal(
        plain.soft_targets(rows, cpu), np.eye(len(plain.classes))[plain.labels[rows]]
    )
    targets = read_targets(own_data_student, plain.paths, plain.folds, len(plain.classes))
    assert targets is not None
    soft = replace(plain, targets=targets)
    np.testing.assert_array_equal(soft.soft_targets(rows, cpu), targets[rows])
    np.testing.assert_allclose(
        targets.sum(axis=1), plain.folds == TRAIN_ONLY, atol=1e-5
    )  # zeros where held out
    assert ((targets > 0) & (targets < 1)).any(axis=1).any()  # members' answers, not labels alone
    history = pl.read_csv(own_data_student.fold(0).history)
    assert history["train_loss"].is_finite().all()


def test_average_members_is_mean_of_weights(small: Run) -> None:
    states = [load_member(small.fold(fold).weights).state_dict() for fold in small.fold_numbers()]
    mean = average_members(small, small.fold_numbers()).state_dict()
    for key, value in mean.items():
        if value.is_floating_point():
            expected = np.mean([state[key].numpy() for state in states], axis=0)
            np.testing.assert_allclose(value.numpy(), expected, atol=1e-6)


def test_refresh_norms_of_averaged_members(small: Run) -> None:
    assert has_moved_norms(small, small.fold_numbers())
    mean = average_members(small, small.fold_numbers())
    tables = (
        small.read_table("manifest.parquet"),
        small.read_root(),
        small.read_table("folds.parquet"),
    )
    data = TrainingSet.of(small.read_recipe().model_copy(deep=True), *tables)
    rows = np.arange(24)  # three whole batches, since a norm weighs batches alike
    refresh_norms(mean, data, rows)
    norm = next(m for m in mean.modules() if isinstance(m, torch.nn.BatchNorm2d))
    inputs_of_norm: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: inputs_of_norm.append(inputs[0]))
    view = Ensemble.load(small, device="cpu").view
    views = np.stack([data.eval_view_of(view)(int(row)) for row in rows])
    with torch.no_grad():
        mean(mean.preprocess(torch.from_numpy(views)))
    assert norm.running_mean is not None
    np.testing.assert_allclose(
        norm.running_mean.numpy(), inputs_of_norm[0].mean(dim=(0, 2, 3)).numpy(), atol=1e-4
    )


def test_latency_ratio_and_t_interval() -> None:
    rng = np.random.default_rng(0)
    times = np.exp(rng.normal(0, 0.1, (2, 9))) * np.array([[4.0], [1.0]])
    found = _latency_ratio(16, times)
    logs = np.log(times[0] / times[1])
    low, high = stats.t.interval(0.95, 8, loc=logs.mean(), scale=stats.sem(logs))
    assert (found.ratio, found.low, found.high) == pytest.approx(
        (np.exp(logs.mean()), np.exp(low), np.exp(high))
    )
    assert "n = 9" in str(found)


# Copies half of the weights, then raises or ends the process, as a kill would.
TORN_COPY = """
import os, shutil, sys
from pathlib import Path
from bestiary.distillation.student import _keep_student_weights
from bestiary.run.run import Run

def copy_half(source, target):
    target.write_bytes(source.read_bytes()[:500])
    os._exit(9)

shutil.copyfile = copy_half
_keep_student_weights(Run(Path(sys.argv[1])).fold(0))
"""


@pytest.fixture
def unsaved_student(tmp_path: Path) -> FoldFiles:
    """A fold whose weights are about to be replaced by the mean of the members."""
    files = Run(tmp_path / "student").fold(0)
    files.folder.mkdir(parents=True)
    files.weights.write_bytes(bytes(range(250)) * 4)
    return files


def test_failed_copy_leaves_no_student_weights(
    unsaved_student: FoldFiles, monkeypatch: pytest.MonkeyPatch
) -> None:
    def copy_half(source: Path, target: Path) -> None:
        target.write_bytes(source.read_bytes()[:500])
        raise KeyboardInterrupt

    monkeypatch.setattr(student_module.shutil, "copyfile", copy_half)
    with pytest.raises(KeyboardInterrupt):
        _keep_student_weights(unsaved_student)
    assert list(unsaved_student.folder.iterdir()) == [unsaved_student.weights]
    monkeypatch.undo()
    _keep_student_weights(unsaved_student)
    assert unsaved_student.student.read_bytes() == unsaved_student.weights.read_bytes()


@pytest.mark.slow
def test_killed_copy_leaves_no_student_weights(unsaved_student: FoldFiles) -> None:
    run = unsaved_student.folder.parent
    killed = subprocess.run([sys.executable, "-c", TORN_COPY, str(run)], check=False)
    assert killed.returncode == 9
    assert not unsaved_student.student.exists()
    _keep_student_weights(unsaved_student)
    assert unsaved_student.student.read_bytes() == unsaved_student.weights.read_bytes()


def test_kept_student_weights_are_not_overwritten(unsaved_student: FoldFiles) -> None:
    _keep_student_weights(unsaved_student)
    first = unsaved_student.student.read_bytes()
    unsaved_student.weights.write_bytes(b"the mean of the members")
    _keep_student_weights(unsaved_student)
    assert unsaved_student.student.read_bytes() == first


WRONG = {
    "a folder that is not empty": (["{full}"], "is not empty and not a run"),
    "a run without --resume": (["{run}"], "holds a run already"),
    "a run that is not a student": (
        ["{run}", "--resume"],
        "not one that bestiary distill has begun",
    ),
    "the student of another": (["{student}", "--resume"], "is the student of another run"),
    "a weight of zero": (["{new}", "--weight", "0"], "--weight 0"),
    "a test share above a half": (["{new}", "--test-share", "0.9"], "--test-share 0.9"),
    "images that are not new": (["{new}", "--test-data", "{beasts}"], "is new to"),
    "an epoch picked by the test images": (["{new}", "--set", "train.keep_best=true"], "keep_best"),
    "a backbone that does not exist": (
        ["{new}", "--set", "model.backbone=torchvision/none"],
        "model.backbone",
    ),
    "a duration that cannot be read": (
        ["{new}", "--checkpoint-every", "soon"],
        "--checkpoint-every soon",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_options_get_one_line(
    case: str,
    small: Run,
    trained: Run,
    own_data_student: Run,
    beasts: Path,
    tmp_path: Path,
    fails: Callable[..., str],
) -> None:
    arguments, words = WRONG[case]
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine").write_text("x")
    places = {
        "full": tmp_path / "full",
        "run": small.path,
        "student": own_data_student.path,
        "new": tmp_path / "new",
    }
    teacher = trained if case == "the student of another" else small
    before = sorted(teacher.path.rglob("*"))
    assert words in fails(
        "distill", teacher.path, *[a.format(beasts=beasts, **places) for a in arguments], "--quiet"
    )
    assert not (tmp_path / "new").exists() and sorted(teacher.path.rglob("*")) == before
