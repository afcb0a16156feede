"""A student: what it is held to, what judges it, what is kept, and that it is a run like any
other.
"""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch
from scipy import stats
from scipy.special import softmax

import bestiary
from bestiary.beasts.sample import draw_sample
from bestiary.distillation.latency import _speed
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.results import read_results
from bestiary.model.classifier import load_member
from bestiary.reporting import sections as story
from bestiary.run.layout import TRAIN_ONLY
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.run.targets import read_targets
from bestiary.stats.selection import best_of, cross_chosen
from bestiary.training.dataset import TrainingSet
from bestiary.training.weight_averaging import average_members, has_moved_norms, refresh_norms


@pytest.fixture(scope="module")
def more_beasts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same three species: the nine images of each that the run has, and four that it has
    not.
    """
    folder = tmp_path_factory.mktemp("more") / "beasts"
    draw_sample(folder, species=3, per_species=13, size=48)
    return folder


@pytest.fixture(scope="module")
def student(small: Run, more_beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student judged by new images; not to be changed."""
    place = tmp_path_factory.mktemp("students") / "student"
    return bestiary.distill(small.path, place, test_data=more_beasts, weight=0.25, quiet=True).run


@pytest.fixture(scope="module")
def frugal(small: Run, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A student judged by a part of the run's own images; not to be changed."""
    place = tmp_path_factory.mktemp("students") / "student"
    return bestiary.distill(small.path, place, test_share=0.3, quiet=True).run


@pytest.mark.parametrize("kind", ["student", "frugal"])
def test_targets_are_the_answers_of_the_member_that_held_an_image_out(
    kind: str, small: Run, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(kind)
    weight = {"student": 0.25, "frugal": 0.5}[kind]
    temperature = small.read_json("ensemble.json")["calibration"]["temperature"]
    answers = {}
    for fold in small.fold_numbers():
        table, classes = read_oof(small.fold(fold))
        for path, label, logits in table.rows():
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


def test_new_images_judge_it_and_known_ones_do_not(
    student: Run, small: Run, more_beasts: Path
) -> None:
    held = student.read_table("folds.parquet").filter(fold=0)["path"]
    digests = student.read_table("manifest.parquet").filter(pl.col("path").is_in(held.implode()))[
        "sha256"
    ]
    assert len(held) == 12 and not set(digests) & set(
        small.read_table("manifest.parquet")["sha256"]
    )
    found = student.read_json("distill.json")
    assert found["new_images"] and set(found["candidates"]) == {"student", "average"}
    # the ensemble's own figure, again by the other verb
    evaluated = bestiary.evaluate(small.path, more_beasts, quiet=True).scores
    assert found["before"]["value"] == pytest.approx(evaluated["ensemble"]["logits"]["value"])
    assert evaluated["n"] == found["before"]["n"] == 12
    # and the kept network's, again from its predictions
    table = student.read_table("manifest.parquet").filter(pl.col("path").is_in(held.implode()))
    ensemble = Ensemble.load(student, device="cpu", engine="torch")
    right = (
        ensemble.predict([student.read_root() / path for path in table["path"]])
        == table["label"].to_numpy()
    )
    assert found["candidates"][found["kept"]]["value"] == pytest.approx(right.mean())


def test_a_part_of_the_run_judges_it_where_nothing_new_is_given(frugal: Run, small: Run) -> None:
    found = frugal.read_json("distill.json")
    assert (found["new_images"], found["kept"], list(found["candidates"])) == (
        False,
        "student",
        ["student"],
    )
    held = frugal.read_table("folds.parquet").filter(fold=0)["path"].to_list()
    labels = frugal.read_table("manifest.parquet").filter(pl.col("path").is_in(held))["label"]
    assert labels.n_unique() == 3 and 6 <= len(held) <= 9
    oof = pl.concat([read_oof(small.fold(fold))[0] for fold in small.fold_numbers()]).filter(
        pl.col("path").is_in(held)
    )
    right = [small.read_classes()[int(np.argmax(row))] for row in oof["logits"].to_list()] == oof[
        "label"
    ].to_numpy()
    assert found["before"]["value"] == pytest.approx(right.mean())


@pytest.mark.parametrize("kind", ["student", "frugal"])
def test_a_student_is_a_run_like_any_other(
    kind: str, beasts: Path, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    run: Run = request.getfixturevalue(kind)
    assert run.score_line is not None and run.fold_numbers() == [0]
    assert "1 folds" in str(bestiary.show(run.path)) or "1 fold" in str(bestiary.show(run.path))
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
    assert story.repeat_command(results).startswith(f"bestiary distill {teacher_of(run)} NEW_RUN")
    assert "One network" in story.method(run.read_recipe(), len(run.fold_numbers()))
    assert "ensemble" not in story.accuracy_sentence(results)


def teacher_of(student: Run) -> str:
    return str(pl.read_parquet_metadata(student.file("targets.parquet"))["teacher"])


def test_going_on_ends_in_the_same_bits(
    frugal: Run, small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    begun = tmp_path / "begun"
    begun.mkdir()
    for name in (
        "recipe.toml",
        "manifest.parquet",
        "folds.parquet",
        "targets.parquet",
        "SHA256SUMS",
        "compute.json",
    ):
        shutil.copy(frugal.file(name), begun / name)
    line = fails("distill", small.path, begun, "--quiet")
    assert "--resume" in line
    bestiary.distill(small.path, begun, resume=True, quiet=True)
    digests = [run.fold(0).weights.read_bytes() for run in (frugal, Run(begun))]
    assert digests[0] == digests[1]
    again = bestiary.distill(small.path, begun, resume=True, quiet=True)
    assert again.found == Run(begun).read_json("distill.json")


def test_soft_targets_are_what_it_learns(small: Run, frugal: Run) -> None:
    tables = (
        frugal.read_table("manifest.parquet"),
        frugal.read_root(),
        frugal.read_table("folds.parquet"),
    )
    plain = TrainingSet.of(frugal.read_recipe(), *tables)
    rows = np.array([3, 0, 7])
    np.testing.assert_array_equal(
        plain.soft_targets(rows), np.eye(len(plain.classes))[plain.labels[rows]]
    )
    targets = read_targets(frugal, plain)
    assert targets is not None
    np.testing.assert_array_equal(replace(plain, targets=targets).soft_targets(rows), targets[rows])
    np.testing.assert_allclose(
        targets.sum(axis=1), plain.folds == TRAIN_ONLY, atol=1e-5
    )  # zeros where held out
    assert ((targets > 0) & (targets < 1)).any(axis=1).any()  # members' answers, not labels alone
    history = pl.read_csv(frugal.fold(0).history)
    assert history["train_loss"].is_finite().all()


def test_the_mean_of_the_members(small: Run) -> None:
    states = [load_member(small.fold(fold).weights).state_dict() for fold in small.fold_numbers()]
    mean = average_members(small, small.fold_numbers()).state_dict()
    for key, value in mean.items():
        if value.is_floating_point():
            expected = np.mean([state[key].numpy() for state in states], axis=0)
            np.testing.assert_allclose(value.numpy(), expected, atol=1e-6)


def test_batch_norms_of_the_mean_take_their_statistics_anew(small: Run) -> None:
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
    seen: list[torch.Tensor] = []
    norm.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    view = Ensemble.load(small, device="cpu").view
    views = np.stack([data.eval_view_of(view)(int(row)) for row in rows])
    with torch.no_grad():
        mean(mean.preprocess(torch.from_numpy(views)))
    assert norm.running_mean is not None
    np.testing.assert_allclose(
        norm.running_mean.numpy(), seen[0].mean(dim=(0, 2, 3)).numpy(), atol=1e-4
    )


def test_the_best_is_the_one_most_often_right_then_the_surest() -> None:
    labels = np.array([0, 1, 0, 1])
    right, wrong = np.eye(2)[labels] * 3, np.eye(2)[1 - labels] * 3
    half = np.where(np.arange(4)[:, None] < 2, right, wrong)
    assert best_of({"half": half, "right": right}, labels) == "right"
    assert best_of({"right": right, "surer": 2 * right}, labels) == "surer"


def test_choosing_among_guesses_flatters_unless_others_choose() -> None:
    rng = np.random.default_rng(0)
    flattered, honest = [], []
    for _ in range(200):
        labels, groups = rng.integers(2, size=60), np.arange(60)
        guesses = {str(n): rng.standard_normal((60, 2)) for n in range(8)}
        flattered.append((guesses[best_of(guesses, labels)].argmax(axis=1) == labels).mean())
        honest.append(cross_chosen(guesses, labels, groups).mean())
    assert np.mean(flattered) > 0.56
    assert abs(np.mean(honest) - 0.5) < 0.02


def test_speed_is_the_mean_ratio_with_students_interval() -> None:
    rng = np.random.default_rng(0)
    times = np.exp(rng.normal(0, 0.1, (2, 9))) * np.array([[4.0], [1.0]])
    found = _speed(16, times)
    logs = np.log(times[0] / times[1])
    low, high = stats.t.interval(0.95, 8, loc=logs.mean(), scale=stats.sem(logs))
    assert (found.ratio, found.low, found.high) == pytest.approx(
        (np.exp(logs.mean()), np.exp(low), np.exp(high))
    )
    assert "n = 9" in str(found)


WRONG = {
    "a folder that is full": (["{full}"], "is not empty and not a run"),
    "a run that is there": (["{run}"], "holds a run already"),
    "a run that is no student": (["{run}", "--resume"], "not one that bestiary distill has begun"),
    "the student of another": (["{student}", "--resume"], "is the student of another run"),
    "no weight": (["{new}", "--weight", "0"], "--weight 0"),
    "too much held out": (["{new}", "--test-share", "0.9"], "--test-share 0.9"),
    "images that are not new": (["{new}", "--test-data", "{beasts}"], "is new to"),
    "an epoch picked by what judges it": (["{new}", "--set", "train.keep_best=true"], "keep_best"),
    "a network that is none": (
        ["{new}", "--set", "model.backbone=torchvision/none"],
        "model.backbone",
    ),
    "a time that is none": (["{new}", "--checkpoint-every", "soon"], "--checkpoint-every soon"),
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_requests_get_one_line(
    case: str,
    small: Run,
    trained: Run,
    frugal: Run,
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
        "student": frugal.path,
        "new": tmp_path / "new",
    }
    teacher = trained if case == "the student of another" else small
    before = sorted(teacher.path.rglob("*"))
    assert words in fails(
        "distill", teacher.path, *[a.format(beasts=beasts, **places) for a in arguments], "--quiet"
    )
    assert not (tmp_path / "new").exists() and sorted(teacher.path.rglob("*")) == before


def test_a_run_that_is_not_finished(small: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    card = json.loads((run / "ensemble.json").read_text())
    del card["calibration"]
    (run / "ensemble.json").write_text(json.dumps(card))
    assert "not all of its folds have ended" in fails("distill", run, tmp_path / "new", "--quiet")
