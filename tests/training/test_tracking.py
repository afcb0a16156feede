"""Trackers: what they are told, and that none of them stops a run or is asked too late."""

import shutil
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from bestiary.errors import DamagedError
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import TrackOptions
from bestiary.run.layout import MANIFEST, TRACKING
from bestiary.run.run import Run
from bestiary.run.tracking_id import read_tracking_id, write_tracking_id
from bestiary.training.tracking import start
from bestiary.training.tracking.start import recipe_parameters, score_metrics
from bestiary.training.tracking.tracker import Trackers


class Spy:
    """A tracker that remembers, and fails or hangs at a step."""

    def __init__(self, fails_at: int | None = None, hangs_at: int | None = None) -> None:
        self.fails_at = fails_at
        self.hangs_at = hangs_at
        self.steps: list[int | None] = []
        self.ended: bool | None = None

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        print("an address")
        if step == self.fails_at:
            raise ConnectionError("https://me:secret@host is gone")
        if step == self.hangs_at:
            threading.Event().wait(5)
        self.steps.append(step)

    def log_files(self, files: Sequence[Path]) -> None:
        pass

    def finish(self, ended: bool) -> None:
        self.ended = ended


def test_tracker_that_fails_is_left_out_once(capsys: pytest.CaptureFixture[str]) -> None:
    notices: list[str] = []
    trackers = Trackers(notices.append)
    weak, strong = Spy(fails_at=2), Spy()
    trackers.start("weak", lambda: weak)
    trackers.start("strong", lambda: strong)
    for step in (1, 2, 3):
        trackers.log({"loss": 0.5}, step)
    trackers.finish(ended=True)
    assert notices == [
        "weak: does not take the numbers of this run (https://host is gone); training goes on, and "
        "the next fold tries again"
    ]
    assert weak.steps == [1] and weak.ended is None
    assert strong.steps == [1, 2, 3] and strong.ended is True
    printed = capsys.readouterr()
    assert printed.out == "" and "an address" in printed.err


def test_tracker_that_hangs_is_left_out() -> None:
    notices: list[str] = []
    trackers = Trackers(notices.append, patience=0.05)
    trackers.start("slow", lambda: Spy(hangs_at=1))
    trackers.log({"loss": 0.5}, 1)
    trackers.log({"loss": 0.5}, 2)
    assert len(notices) == 1 and "(no answer in 0.05 s)" in notices[0]


def test_failure_is_told_once_a_run() -> None:
    notices: list[str] = []
    told: set[str] = set()
    for _ in range(2):
        trackers = Trackers(notices.append, told)
        trackers.start("weak", lambda: Spy(fails_at=1))
        trackers.log({"loss": 0.5}, 1)
    assert len(notices) == 1


def test_tracker_that_does_not_start() -> None:
    def refuse() -> Spy:
        raise PermissionError("no such project")

    notices: list[str] = []
    trackers = Trackers(notices.append)
    trackers.start("shy", refuse)
    trackers.log({"loss": 0.5}, 1)
    trackers.finish(ended=False)
    assert len(notices) == 1 and "no such project" in notices[0]


def test_parameters_are_the_recipe() -> None:
    parameters = recipe_parameters(load_recipe("fast", ["track.to=mlflow,wandb"]))
    options = Recipe().model_dump()
    assert len(parameters) == sum(len(section) for section in options.values())
    assert parameters["track.to"] == '["mlflow", "wandb"]'
    assert all(isinstance(value, str | int | float | bool) for value in parameters.values())


def test_scores_have_intervals(trained: Run) -> None:
    scores = trained.read_scores()
    assert scores is not None
    metrics = score_metrics(scores)
    assert metrics["oof_accuracy"] == scores["accuracy"]["value"]
    assert metrics["oof_accuracy_low"] == scores["accuracy"]["low"]
    assert metrics["oof_images"] == 27
    assert {name.removesuffix("_low") for name in metrics if name.endswith("_low")} >= {
        f"oof_{name}" for name in scores["scores"]
    }


def test_identifier_is_the_runs_own(trained: Run, tmp_path: Path) -> None:
    run = Run(tmp_path / "run")
    run.begin_like(trained, load_recipe("fast", ["track.to=mlflow"]))
    first = read_tracking_id(run.path)
    write_tracking_id(run.path)
    assert read_tracking_id(run.path) == first  # as when it is resumed
    other = Run(tmp_path / "other")
    other.begin_like(run, load_recipe("fast", ["track.to=mlflow"]))
    assert read_tracking_id(other.path) != first
    assert not (trained.path / TRACKING).exists()
    fallback = read_tracking_id(trained.path)
    assert len(fallback) == len(first) == 16 and fallback == read_tracking_id(trained.path)


def test_identifier_of_a_stranger_is_checked(trained: Run, tmp_path: Path) -> None:
    shutil.copy(trained.path / MANIFEST, tmp_path)
    for text in ('{"id": "\' OR 1=1"}', '{"id": 3}', "[]", '{"id": "' + "a" * 1000 + '"}'):
        (tmp_path / TRACKING).write_text(text)
        with pytest.raises(DamagedError, match=TRACKING):
            read_tracking_id(tmp_path)


@pytest.mark.parametrize("name", ["mlflow", "trackio", "wandb"])
def test_tracker_that_is_not_installed(
    name: str, beasts: Path, tiny: Path, tmp_path: Path, fails, monkeypatch: pytest.MonkeyPatch
) -> None:  # type: ignore[no-untyped-def]
    """It is said before images are read, in one line with the remedy."""
    monkeypatch.setattr(start.importlib.util, "find_spec", lambda _: None)
    run = tmp_path / "run"
    line = fails("train", beasts, run, "--recipe", tiny, "--set", f"track.to={name}")
    assert f"pip install 'bestiary[{name}]'" in line
    assert not run.exists()


def test_every_tracker_has_a_class() -> None:
    choices = TrackOptions.model_json_schema()["properties"]["to"]["items"]["enum"]
    assert set(start._CLASSES) == set(choices)


def test_tensorboard_reads_back(trained: Run) -> None:
    """Trained without a tracker; the others are in test_trackers.py."""
    events = EventAccumulator(str(trained.fold(1).tensorboard)).Reload()
    history = trained.fold(1).history.read_text().splitlines()
    accuracies = [event.value for event in events.Scalars("val_accuracy")]
    assert len(accuracies) == len(history) - 1
    table = events.Tensors("parameters/text_summary")[0].tensor_proto.string_val[0].decode()
    assert "| train.epochs | 2 |" in table
