"""Folds side by side: when, with which results, and what happens when one fails."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

import bestiary
from bestiary.display import Display
from bestiary.errors import DataError
from bestiary.run.run import Run
from bestiary.training import side_by_side
from bestiary.training.side_by_side import gives_folds_a_gpu_each, visible_gpus


@pytest.mark.parametrize(
    ("has_gpu", "folds", "processes", "batch_size", "expected"),
    [
        (True, 5, 8, 64, True),
        (True, 5, 2, 64, True),
        (True, 5, 8, 512, False),
        (True, 1, 8, 64, False),
        (False, 5, 8, 64, False),
    ],
)
def test_folds_get_a_gpu_each_unless_batches_are_large(
    has_gpu: bool,
    folds: int,
    processes: int,
    batch_size: int,
    expected: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: has_gpu)
    assert gives_folds_a_gpu_each(range(folds), processes, batch_size) == expected


def test_gpus_that_the_user_names_are_used(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.delenv(side_by_side.VISIBLE_GPUS, raising=False)
    assert visible_gpus() == ["0", "1"]
    monkeypatch.setenv(side_by_side.VISIBLE_GPUS, "3, GPU-8932f937")
    assert visible_gpus() == ["3", "GPU-8932f937"]


@pytest.fixture
def two_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(side_by_side, "gives_folds_a_gpu_each", lambda *_: True)
    monkeypatch.setattr(side_by_side, "visible_gpus", lambda: ["4", "7"])


@pytest.mark.slow
def test_side_by_side_gives_the_same_members(
    two_gpus: None,
    trained: Run,
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, processes=2, quiet=True)
    for fold in run.fold_numbers():
        assert run.fold(fold).oof.read_bytes() == trained.fold(fold).oof.read_bytes()
    assert run.score_line == trained.score_line
    assert "3 folds side by side on 2 GPUs, one GPU each" in capfd.readouterr().err


def test_a_failed_fold_stops_the_others(
    two_gpus: None,
    pretend_run: Any,
    beasts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Fold 0 would go on for ever; fold 1 records an error and ends."""
    started: list[Any] = []
    error = {"message": {"message": "DataError: x.jpg: is gone; put it back, then --resume"}}

    def start(command: list[str], env: dict[str, str], **_: Any) -> Any:
        fold = json.loads(command[-1])["folds"][0]
        code = "import signal; signal.pause()"
        if fold == 1:
            Path(env[side_by_side.ERROR_FILE_VARIABLE]).write_text(json.dumps(error))
            code = "raise SystemExit(2)"
        process = popen([sys.executable, "-c", code])
        started.append((fold, env[side_by_side.VISIBLE_GPUS], process))
        return process

    popen = subprocess.Popen
    monkeypatch.setattr(side_by_side.subprocess, "Popen", start)
    monkeypatch.setattr(side_by_side, "prepare_folds", lambda *_: None)
    monkeypatch.setattr(side_by_side, "is_fold_complete", lambda *_: False)
    run = pretend_run(beasts, tmp_path / "run")
    with pytest.raises(DataError, match=r"x\.jpg: is gone"):
        side_by_side.train_side_by_side(run, [0, 1], 2, 300.0, Display(quiet=True))
    assert [(fold, gpu) for fold, gpu, _ in started] == [(0, "4"), (1, "7")]
    assert started[0][2].returncode < 0, "told to stop"
