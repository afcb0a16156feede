"""`predict --watch`: images that arrive in a folder, each predicted once it is complete."""

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bestiary.ensemble.caveats import TrainedFiles
from bestiary.ensemble.field_rules import FieldRules
from bestiary.ensemble.predictions import _watch_notices
from bestiary.ensemble.watch import MIN_POLL_SECONDS, new_images
from bestiary.run.field_card import FieldCard
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration

POLL_SECONDS = 0.4  # in place of bestiary's own, for which a test would only wait
PROGRAM = f"""
from bestiary.cli import run
from bestiary.ensemble import watch

watch.MIN_POLL_SECONDS = {POLL_SECONDS}
run()
"""


def test_watch_yields_complete_images_once(tmp_path: Path) -> None:
    folder = tmp_path / "trap"
    folder.mkdir()
    known = {"old.jpg"}
    (folder / "old.jpg").write_bytes(b"old")
    waits: list[float] = []
    polls = new_images(folder, known, sleep=waits.append)
    assert next(polls) == ([], [])
    (folder / "a.jpg").write_bytes(b"1")
    assert next(polls) == ([], [])  # new: its size is not known to be final
    (folder / "a.jpg").write_bytes(b"12")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.png").write_bytes(b"1")
    (folder / "note.txt").write_bytes(b"1")
    assert next(polls) == ([], [])  # a.jpg has grown
    assert next(polls) == (["a.jpg", "sub/b.png"], [])
    assert next(polls) == ([], [])
    known.discard("a.jpg")
    assert next(polls) == ([], [])
    assert next(polls) == (["a.jpg"], [])
    shutil.rmtree(folder)
    assert next(polls) == ([], [])  # as for a disk that is pulled out
    assert min(waits) >= MIN_POLL_SECONDS


def partial_rows(out: Path) -> list[str]:
    file = out.with_name(f"{out.name}.partial") / "rows.jsonl"
    return file.read_text().splitlines() if file.exists() else []


@pytest.mark.slow
def test_watch_predicts_arrivals_until_sigterm(trained: Run, beasts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "trap"
    out = tmp_path / "p.csv"
    folder.mkdir()
    images = sorted(beasts.rglob("*.jpg"))
    shutil.copy(images[0], folder / "0.jpg")
    arguments = ["predict", str(trained.path), str(folder), "--out", str(out)]
    command = [sys.executable, "-c", PROGRAM, *arguments, "--watch"]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        _wait(lambda: out.exists() and pl.read_csv(out).height == 1, process)
        with (folder / "1.jpg").open("wb") as arriving:  # arrives in two parts
            content = images[1].read_bytes()
            arriving.write(content[:300])
            arriving.flush()
            time.sleep(2.5 * POLL_SECONDS)
            assert len(partial_rows(out)) == 1
            arriving.write(content[300:])
        _wait(lambda: len(partial_rows(out)) == 2, process)
        process.send_signal(signal.SIGTERM)
        errors = process.communicate(timeout=60)[1]
    finally:
        process.kill()
    assert process.returncode == 0, errors
    assert pl.read_csv(out).select("path", "error").rows() == [("0.jpg", None), ("1.jpg", None)]
    shutil.copy(images[2], folder / "2.jpg")
    resume = [sys.executable, "-m", "bestiary", *arguments, "--resume"]
    done = subprocess.run(resume, capture_output=True, text=True, check=True)
    assert "2 images already have their rows" in done.stderr
    assert pl.read_csv(out)["path"].to_list() == ["0.jpg", "1.jpg", "2.jpg"]


def _wait(done: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while not done():
        assert process.poll() is None
        assert time.monotonic() < until
        time.sleep(0.1)


def test_watch_needs_a_folder(trained: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    options = ("--out", tmp_path / "p.csv", "--watch")
    line = fails("predict", trained.path, tmp_path / "a.png", *options)
    assert "--watch" in line
    assert "is no folder" in line
    line = fails("predict", trained.path, tmp_path, *options, "--format", "submission")
    assert "leave --format submission out" in line
    line = fails("predict", trained.path, tmp_path, *options, "--set", "data.boxes=found.json")
    assert "leave data.boxes = found.json out" in line


def test_watch_says_what_it_does_not_know(tmp_path: Path) -> None:
    calibration = Calibration.fit(np.eye(2), np.array([0, 1]))
    rules = FieldRules(calibration, FieldCard(event_seconds=30, events=calibration))
    trained = TrainedFiles(frozenset(), frozenset(), has_boxes=True)
    boxes, clocks = _watch_notices(tmp_path, trained, rules)
    assert boxes.startswith("This run was trained on boxes")
    assert "clocks that jump are not found" in clocks
    assert _watch_notices(tmp_path, None, FieldRules(calibration, FieldCard())) == []
