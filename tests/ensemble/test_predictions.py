"""Folders of any size: rows kept as they come, going on after a kill, folders that fill up."""

import json
import os
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

import bestiary
from bestiary.ensemble import watch as watching
from bestiary.ensemble.resumable_table import drop_torn_line
from bestiary.ensemble.watch import new_images
from bestiary.run.run import Run


@pytest.fixture
def many(beasts: Path, tmp_path: Path) -> Path:
    """A folder of 135 images, one of them broken."""
    folder = tmp_path / "many"
    for number in range(5):
        shutil.copytree(
            beasts, folder / f"copy-{number}", ignore=shutil.ignore_patterns("truth.csv")
        )
    next(folder.rglob("*.jpg")).write_bytes(b"\xff\xd8\xff broken")
    return folder


def partial_rows(out: Path) -> list[str]:
    file = out.with_name(f"{out.name}.partial") / "rows.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Make prediction be interrupted after so many batches."""
    from bestiary.ensemble.ensemble import Ensemble

    score = Ensemble.score

    def stopping(self: Ensemble, *arguments: object) -> object:
        for number, scored in enumerate(score(self, *arguments)):  # type: ignore[arg-type]
            if number == batches:
                raise KeyboardInterrupt
            yield scored

    monkeypatch.setattr(Ensemble, "score", stopping)


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_a_stopped_prediction_ends_in_the_same_table(
    trained: Run, many: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    whole = bestiary.predict(trained.path, many, out=tmp_path / f"whole-{name}", quiet=True)
    out = tmp_path / name
    with monkeypatch.context() as patch:
        stop_after(patch, 2)
        with pytest.raises(KeyboardInterrupt):
            bestiary.predict(trained.path, many, out=out, quiet=True)
    assert not out.exists()
    assert len(partial_rows(out)) == 64
    file = out.with_name(f"{name}.partial") / "rows.jsonl"
    file.write_text(file.read_text()[:-40])  # as a kill in the middle of a line leaves it
    counted: list[int] = []
    monkeypatch.setattr("bestiary.ensemble.predictions._Files.__getitem__", _counting(counted))
    resumed = bestiary.predict(trained.path, many, out=out, resume=True, quiet=True)
    assert len(counted) == 135 - 63
    assert resumed.counts == whole.counts
    assert (resumed.counts.rows, resumed.counts.unread) == (135, 1)
    assert resumed.table["path"].to_list() == sorted(resumed.table["path"])
    same = resumed.table.drop(pl.selectors.float()).equals(whole.table.drop(pl.selectors.float()))
    assert same
    for column in resumed.table.select(
        pl.selectors.float()
    ).columns:  # other batches: bf16 sums in another order
        np.testing.assert_allclose(
            resumed.table[column].fill_null(0).to_numpy(),
            whole.table[column].fill_null(0).to_numpy(),
            atol=2e-2,
        )
    assert not out.with_name(f"{name}.partial").exists()


def _counting(counted: list[int]) -> Callable[..., Path]:
    def get(self, row: int) -> Path:  # type: ignore[no-untyped-def]
        counted.append(row)
        return self.root / self.paths[row]

    return get


def test_a_killed_process_is_gone_on_with(trained: Run, many: Path, tmp_path: Path) -> None:
    for number in range(5, 60):
        shutil.copytree(many / "copy-1", many / f"copy-{number}", copy_function=os.link)
    out = tmp_path / "p.csv"
    command = [
        sys.executable,
        "-m",
        "bestiary",
        "predict",
        str(trained.path),
        str(many),
        "--out",
        str(out),
        "--quiet",
    ]
    process = subprocess.Popen(command)
    while process.poll() is None and len(partial_rows(out)) < 32:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    kept = len(partial_rows(out))
    assert 32 <= kept < 1620
    assert (
        subprocess.run([*command, "--resume"], check=False).returncode == 1
    )  # one image is broken
    table = pl.read_csv(out)
    assert table["path"].to_list() == sorted(
        p.relative_to(many).as_posix() for p in many.rglob("*.jpg")
    )
    assert not out.with_name("p.csv.partial").exists()


def test_only_the_same_prediction_goes_on(
    trained: Run,
    many: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[..., str],
) -> None:
    out = tmp_path / "p.csv"
    with monkeypatch.context() as patch:
        stop_after(patch, 1)
        with pytest.raises(KeyboardInterrupt):
            bestiary.predict(trained.path, many, out=out, quiet=True)
    arguments = ("predict", trained.path, many, "--out", out)
    assert "holds a prediction that was stopped; go on by --resume" in fails(*arguments)
    assert "another average" in fails(*arguments, "--resume", "--average", "vote")
    assert "another coverage" in fails(*arguments, "--resume", "--coverage", "0.8")
    assert "another number of views" in fails(*arguments, "--resume", "--views", "2")
    assert "another folder" in fails(
        "predict", trained.path, many / "copy-1", "--out", out, "--resume"
    )
    card = out.with_name("p.csv.partial") / "asked.json"
    asked = json.loads(card.read_text())
    card.write_text(json.dumps(asked | {"run": "0" * 64}))
    assert "another run" in fails(*arguments, "--resume")
    card.write_text("{")
    assert "cannot be read" in fails(*arguments, "--resume")
    assert len(partial_rows(out)) == 32  # nothing was lost over it


def test_a_torn_line_is_cut_off_and_no_other(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    for before, after in {
        b"": b"",
        b"a": b"",
        b"a\n": b"a\n",
        b"a\nb": b"a\n",
        b"a\n" + b"b" * 200_000: b"a\n",
    }.items():
        file.write_bytes(before)
        drop_torn_line(file)
        assert file.read_bytes() == after


def test_names_like_formulas_are_guarded_in_the_streamed_table(
    trained: Run, beasts: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(next(beasts.rglob("*.jpg")), folder / "=1+1.jpg")
    result = bestiary.predict(trained.path, folder, out=tmp_path / "p.csv", quiet=True)
    assert "'=1+1.jpg" in (tmp_path / "p.csv").read_text()
    assert result.table["path"].to_list() == ["=1+1.jpg"]


def test_an_image_is_given_once_and_when_it_is_complete(tmp_path: Path) -> None:
    folder = tmp_path / "trap"
    folder.mkdir()
    known = {"old.jpg"}
    (folder / "old.jpg").write_bytes(b"old")
    waits: list[float] = []
    looks = new_images(folder, known, sleep=waits.append)
    assert next(looks) == ([], [])
    (folder / "a.jpg").write_bytes(b"1")
    assert next(looks) == ([], [])  # has just come
    (folder / "a.jpg").write_bytes(b"12")
    (folder / "sub").mkdir()
    (folder / "sub" / "b.png").write_bytes(b"1")
    (folder / "note.txt").write_bytes(b"1")
    assert next(looks) == ([], [])  # a has grown since
    assert next(looks) == (["a.jpg", "sub/b.png"], [])
    assert next(looks) == ([], [])
    known.discard("a.jpg")
    assert next(looks) == ([], [])
    assert next(looks) == (["a.jpg"], [])
    shutil.rmtree(folder)
    assert next(looks) == ([], [])  # a disk that is pulled out and put back
    assert min(waits) >= watching.PAUSE


def test_watching_predicts_what_comes_and_ends_by_a_signal(
    trained: Run, beasts: Path, tmp_path: Path
) -> None:
    folder, out = tmp_path / "trap", tmp_path / "p.csv"
    folder.mkdir()
    images = sorted(beasts.rglob("*.jpg"))
    shutil.copy(images[0], folder / "0.jpg")
    command = [
        sys.executable,
        "-m",
        "bestiary",
        "predict",
        str(trained.path),
        str(folder),
        "--out",
        str(out),
    ]
    process = subprocess.Popen([*command, "--watch"], stderr=subprocess.PIPE, text=True)
    try:
        _wait(lambda: out.exists() and pl.read_csv(out).height == 1, process)
        with (folder / "1.jpg").open("wb") as arriving:  # comes in two parts
            content = images[1].read_bytes()
            arriving.write(content[:300])
            arriving.flush()
            time.sleep(2.5 * watching.PAUSE)
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
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=True)
    assert "2 images have their rows already" in done.stderr
    assert pl.read_csv(out)["path"].to_list() == ["0.jpg", "1.jpg", "2.jpg"]


def _wait(done: Callable[[], bool], process: "subprocess.Popen[str]") -> None:
    until = time.monotonic() + 120
    while not done():
        assert process.poll() is None and time.monotonic() < until
        time.sleep(0.1)


def test_watching_needs_a_folder(trained: Run, tmp_path: Path, fails: Callable[..., str]) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    line = fails(
        "predict", trained.path, tmp_path / "a.png", "--out", tmp_path / "p.csv", "--watch"
    )
    assert "--watch" in line and "is no folder" in line
    line = fails(
        "predict",
        trained.path,
        tmp_path,
        "--out",
        tmp_path / "p.csv",
        "--watch",
        "--format",
        "submission",
    )
    assert "leave --format submission out" in line
