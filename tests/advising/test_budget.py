"""A run within a budget: what it records, what it scores, and how it goes on."""

import json
import shutil
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

import bestiary
from bestiary.advising import budget as budgets
from bestiary.advising import budget_folds
from bestiary.advising.budget_folds import fitting_run
from bestiary.advising.budget_plan import CHOOSING_FOLD, TOLERANCE, Costs, Trial
from bestiary.advising.budget_work import Budgeted
from bestiary.advising.trials import adopt_fold, seconds_of_folds
from bestiary.display import Display
from bestiary.errors import DamagedError, RecipeError, RunError
from bestiary.evaluation.drifting import drift_monitor
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.model.backbone import weights_are_local
from bestiary.model.classifier import build_classifier, load_member
from bestiary.run.budget_file import read_budget
from bestiary.run.layout import BUDGET, TRIALS
from bestiary.run.run import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not weights_are_local("offline/efficientnet_lite0"), reason="no offline weights"
    ),
]
OPTIONS = ["view.size=32", "train.batch_size=8", "predict.tta=1", "train.threads=1"]


@pytest.fixture(scope="module")
def budgeted(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run within a budget in which three epochs of fine-tuning fit, at one size."""
    patch = pytest.MonkeyPatch()
    patch.setattr(Costs, "epochs_within", lambda *_, **__: 3)
    patch.setattr(budgets, "_try_larger", lambda *_: None)
    path = tmp_path_factory.mktemp("budget") / "run"
    run = bestiary.train(beasts, path, budget="1h", folds=3, overrides=OPTIONS, quiet=True)
    patch.undo()
    return run


def test_what_was_tried_is_recorded(budgeted: Run) -> None:
    record = read_budget(budgeted)
    assert record is not None
    names = [trial.name for trial in record.trials]
    assert names[0].startswith("heads") and "fine-tuning" in names[1]
    assert record.chosen in names
    assert record.seconds == 3600 and 0 < record.spent < 3600
    best = max(trial.accuracy for trial in record.trials)
    chosen = record.trials[names.index(record.chosen)]
    assert chosen.accuracy == best
    assert budgeted.read_recipe().train.epochs == chosen.epochs


def test_choosing_fold_is_not_scored(budgeted: Run) -> None:
    """The held-out images of that fold are predicted, but are in no score."""
    out_of_fold = read_out_of_fold(budgeted.load())
    assert CHOOSING_FOLD in out_of_fold.folds
    assert CHOOSING_FOLD not in out_of_fold.scorable().folds
    scores = budgeted.read_scores()
    assert scores is not None
    assert scores["accuracy"]["n"] == len(out_of_fold.scorable().labels)


def test_a_budgeted_run_is_a_run(budgeted: Run, beasts: Path) -> None:
    images = sorted(beasts.rglob("*.jpg"))[:2]
    assert len(bestiary.load(budgeted.path).predict(images)) == 2
    again = bestiary.train(beasts, budgeted.path, budget="1h", resume=True, quiet=True)
    assert again.score_line == budgeted.score_line


def test_new_images_are_compared_by_all_members(budgeted: Run, tmp_path: Path) -> None:
    """The member of the choosing fold too: it has no scored image, and predicts all the same."""
    new = tmp_path / "new"
    bestiary.sample(new, species=3, per_species=8, size=48, seed=5, quiet=True)
    counts = bestiary.count(budgeted.path, new, despite_drift=True, quiet=True)
    assert counts.table["images"].sum() == pytest.approx(24)
    assert bestiary.drift(budgeted.path, new, quiet=True).drift.reference > 0
    assert bestiary.next(budgeted.path, new, count=3, quiet=True).images.height == 3
    monitor = drift_monitor(budgeted, bestiary.load(budgeted.path), latest=True)
    assert monitor is not None and len(monitor.world.scales) == 3


def test_report_says_what_was_tried(budgeted: Run, tmp_path: Path) -> None:
    run = Path(shutil.copytree(budgeted.path, tmp_path / "run"))
    bestiary.report(run, format="md", quiet=True)
    text = (run / "report.md").read_text()
    assert "Choice within a budget" in text
    assert "They are in no score" in text
    assert "heads on the frozen network, 32 pixels" in text
    bestiary.report(run, quiet=True)
    assert "Choice within a budget" in (run / "report.html").read_text()


def interrupted(run: Run, goal: Path, folds: tuple[int, ...] = ()) -> Path:
    """Copy a run as it was before it began; of the fine-tuned folds, some have not ended."""
    path = Path(shutil.copytree(run.path, goal))
    for entry in path.iterdir():
        if entry.name not in (TRIALS, BUDGET):
            shutil.rmtree(entry) if entry.is_dir() else entry.unlink()
    for fold in folds:
        shutil.rmtree(path / TRIALS / "fine-tuned-32" / f"fold-{fold}", ignore_errors=True)
    return path


def test_interrupted_trials_go_on(
    budgeted: Run, beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the files that a run begins with, the same command ends with the same choice."""
    path = interrupted(budgeted, tmp_path / "run")
    with pytest.raises(RunError, match="is not a run yet: its time budget is being spent"):
        bestiary.show(path)
    monkeypatch.setattr(budgets, "_try_larger", lambda *_: None)
    run = bestiary.train(beasts, path, budget="1h", folds=3, overrides=OPTIONS, quiet=True)
    before, after = read_budget(budgeted), read_budget(run)
    assert before is not None and after is not None
    assert after.chosen == before.chosen
    assert after.spent > before.spent, "the time of the first session counts"
    assert run.score_line == budgeted.score_line


def test_late_trial_is_cut_or_dropped(budgeted: Run, tmp_path: Path) -> None:
    """Where one fold took longer than planned, all get fewer epochs, or the heads remain."""
    run = Run(interrupted(budgeted, tmp_path / "run", folds=(1, 2)))
    trial = Run(run.path / TRIALS / "fine-tuned-32")
    recipe = trial.read_recipe()
    tuned = Trial("tuned", recipe, np.zeros((1, 3), np.float32), np.zeros(1, np.int64), 1.0)

    def fitting(folds_left: float) -> tuple[Path | None, list[str]]:
        seconds = folds_left * seconds_of_folds(trial, [CHOOSING_FOLD]) / TOLERANCE
        display = Display(quiet=True)
        work = Budgeted(run, recipe, seconds, None, None, display)  # type: ignore[arg-type]
        fits = fitting_run(work, tuned)
        return (fits.path if fits else None), work.notes

    assert fitting(2.5) == (trial.path, [])
    plain, once_more = tuned, 0.2 * seconds_of_folds(trial, [CHOOSING_FOLD])
    tuned = replace(tuned, recipe=recipe.with_values({"train.wise_ft": 0.25}), seconds=once_more)
    assert fitting(2.5)[0] is None, "each of three members predicts again"
    assert fitting(2.7)[0] == trial.path
    tuned = plain
    none, notes = fitting(1.9)
    assert none is None, "one epoch for each of three folds is none"
    assert notes == ["No time is left for 3 folds of 3 epochs, so the heads remain"]
    longer = recipe.with_values({"train.epochs": 6})
    tuned = replace(tuned, recipe=longer)
    shorter, notes = fitting(1.9)
    assert shorter is not None and Run(shorter).read_recipe().train.epochs == 3
    assert notes == ["3 epochs in place of 6: the trial took longer than expected"]
    again, _ = fitting(0.1)
    assert again == shorter, "a run that was begun goes on as it began"


@pytest.mark.parametrize("late", [False, True])
def test_folds_end_in_time_or_heads_remain(
    budgeted: Run, beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: bool
) -> None:
    """A fold that takes far longer than that of the trial is the last one that is fine-tuned."""
    path = interrupted(budgeted, tmp_path / "run", folds=(1, 2))
    monkeypatch.setattr(budgets, "_try_larger", lambda *_: None)
    monkeypatch.setattr(budgets, "choose", lambda trials: trials[2])
    seconds = {1: 4000.0 if late else 1.0}  # of a budget of 3600 s
    monkeypatch.setattr(
        budget_folds, "seconds_of_folds", lambda _, folds: sum(seconds.get(x, 1.0) for x in folds)
    )
    run = bestiary.train(beasts, path, budget="1h", folds=3, overrides=OPTIONS, quiet=True)
    record = read_budget(run)
    assert record is not None
    assert record.folds == [CHOOSING_FOLD]
    recipe = run.read_recipe()
    assert (recipe.train.epochs, recipe.train.wise_ft) == ((0, 0.0) if late else (3, 0.25))
    assert record.chosen == record.trials[0 if late else 2].name
    ended = [Run(path / TRIALS / "fine-tuned-32").fold(fold).ended for fold in range(3)]
    assert ended == [True, True, not late]
    assert all(run.fold(fold).ended for fold in range(3))
    if late:
        assert record.notes[-1].startswith("1 fold of 3 cannot end in time: after")
        heads = load_member(Run(path / TRIALS / "heads-32").fold(1).weights).state_dict()
        own = load_member(run.fold(1).weights).state_dict()
        assert all(torch.equal(own[key], heads[key]) for key in heads)
    assert run.score_line is not None
    assert (read_out_of_fold(run.load(), with_first_view=True).first_view is not None) == (
        recipe.predict.tta > 1
    )


def test_adopted_share_is_what_was_tried(budgeted: Run, tmp_path: Path) -> None:
    """The member with a share of the initial weights is not the trained one."""
    trials = budgeted.path / TRIALS
    tuned, heads = Run(trials / "fine-tuned-32"), Run(trials / "heads-32")
    goal = Run(tmp_path / "run")
    goal.begin_like(tuned, tuned.read_recipe())
    adopt_fold(tuned, goal, CHOOSING_FOLD, heads, 0.5)
    files = goal.fold(CHOOSING_FOLD)
    assert files.ended
    assert files.weights.read_bytes() != tuned.fold(CHOOSING_FOLD).weights.read_bytes()
    assert files.initial.read_bytes() == heads.fold(CHOOSING_FOLD).weights.read_bytes()


def test_damaged_budget_file_is_refused(budgeted: Run, tmp_path: Path) -> None:
    run = Run(Path(shutil.copytree(budgeted.path, tmp_path / "run")))
    content = json.loads(run.file(BUDGET).read_text())
    content["folds"] = []
    run.file(BUDGET).write_text(json.dumps(content))
    with pytest.raises(DamagedError, match=r"budget\.json: has changed since"):
        read_budget(run)
    run.file(BUDGET).unlink()
    with pytest.raises(DamagedError, match=r"budget\.json: is missing"):
        read_budget(run)


def test_heads_that_take_longer_are_told(beasts: Path, tmp_path: Path) -> None:
    """Ten seconds are over while the features are computed."""
    patch = pytest.MonkeyPatch()
    patch.setattr(Budgeted, "spent", property(lambda _: 12.5))
    run = bestiary.train(
        beasts, tmp_path / "run", budget="10s", folds=3, overrides=OPTIONS, quiet=True
    )
    patch.undo()
    record = read_budget(run)
    assert record is not None
    assert record.notes[0] == "The heads alone took 0:12 of 0:10"
    assert "0 epochs fit" in record.notes[1]
    assert run.read_recipe().train.epochs == 0


@pytest.fixture
def transformer(tmp_path: Path) -> list[str]:
    """Options for a tiny transformer, with random weights in a file."""
    pytest.importorskip("peft")
    file = tmp_path / "vit.safetensors"
    network = build_classifier("timm/test_vit", 2, "none").network
    save_file(network.state_dict(), file)
    own = ["model.backbone=timm/test_vit", f"model.weights={file}", "view.size=0"]
    return [*own, "train.batch_size=8", "train.threads=1"]


def test_recipe_of_heads_is_adapted(
    beasts: Path, tmp_path: Path, transformer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trials of `foundation` train adapters; a size that its network does not take is left."""
    monkeypatch.setattr(Costs, "epochs_within", lambda *_, **__: 2)
    monkeypatch.setattr(budgets, "input_size_errors", lambda _, sides: ["no" for _ in sides])
    run = bestiary.train(
        beasts,
        tmp_path / "run",
        recipe="foundation",
        budget="1h",
        folds=3,
        overrides=transformer,
        quiet=True,
    )
    record = read_budget(run)
    assert record is not None
    assert record.trials[1].name == "2 epochs of fine-tuning, 160 pixels"
    assert record.notes == ["192 pixels were not tried: the network takes no images of that size"]
    trials = run.path / TRIALS
    heads, tuned = Run(trials / "heads-160"), Run(trials / "fine-tuned-160")
    assert tuned.read_recipe().model.lora == 8
    before, after = (load_member(one.fold(0).weights).state_dict() for one in (heads, tuned))
    changed = [key for key, value in after.items() if not torch.equal(value, before[key])]
    assert "network.blocks.0.mlp.fc1.weight" in changed
    assert "network.blocks.0.mlp.fc1.bias" not in changed


def test_missing_peft_is_said_before_the_heads(
    beasts: Path, tmp_path: Path, transformer: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "peft", None)
    place = tmp_path / "run"
    with pytest.raises(RecipeError, match="needs the package peft"):
        bestiary.train(beasts, place, recipe="foundation", budget="1h", overrides=transformer)
    assert not place.exists()


def test_recipe_without_a_fitted_head(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails("train", beasts, tmp_path / "run", "--recipe", "paper", "--budget", "1h")
    assert "--recipe paper: its model.head is random" in line


def test_budget_that_is_no_duration(
    beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails("train", beasts, tmp_path / "run", "--budget", "soon")
    assert "--budget soon: is not a duration" in line
    assert not (tmp_path / "run").exists()


def test_budget_for_a_run_without_one(
    beasts: Path, trained: Run, fails: Callable[..., str]
) -> None:
    line = fails("train", beasts, trained.path, "--budget", "10min", "--resume")
    assert "was begun without one" in line
