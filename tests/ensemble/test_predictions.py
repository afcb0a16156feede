"""`predict` of folders of any size: interruption, resume after a kill, the same request."""

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

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run


@pytest.fixture
def many(beasts: Path, tmp_path: Path) -> Path:
    """A folder of 135 images, one of them broken."""
    folder = tmp_path / "many"
    for number in range(5):
        ignore = shutil.ignore_patterns("truth.csv")
        shutil.copytree(beasts, folder / f"copy-{number}", ignore=ignore)
    next(folder.rglob("*.jpg")).write_bytes(b"\xff\xd8\xff broken")
    return folder


def partial_rows(out: Path) -> list[str]:
    file = out.with_name(f"{out.name}.partial") / "rows.jsonl"
    return file.read_text().splitlines() if file.exists() else []


def stop_after(monkeypatch: pytest.MonkeyPatch, batches: int) -> None:
    """Interrupt a prediction after so many batches."""
    iter_logits = Ensemble.iter_logits

    def stopping(self: Ensemble, *arguments: object) -> object:
        for count, batch in enumerate(iter_logits(self, *arguments)):  # type: ignore[arg-type]
            if count == batches:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(Ensemble, "iter_logits", stopping)


@pytest.mark.parametrize("name", ["p.csv", "p.parquet"])
def test_predict_resume_gives_the_same_table(
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
    file.write_text(file.read_text()[:-40])  # a kill in the middle of a line
    accessed: list[int] = []
    monkeypatch.setattr(
        "bestiary.ensemble.predicted_rows._LazyPaths.__getitem__", _recording(accessed)
    )
    resumed = bestiary.predict(trained.path, many, out=out, resume=True, quiet=True)
    assert len(accessed) == 135 - 63
    assert resumed.counts == whole.counts
    assert (resumed.counts.rows, resumed.counts.unread) == (135, 1)
    assert resumed.table["path"].to_list() == sorted(resumed.table["path"])
    floats = pl.selectors.float()
    assert resumed.table.drop(floats).equals(whole.table.drop(floats))
    # Other batches: bf16 sums in another order.
    for column in resumed.table.select(floats).columns:
        np.testing.assert_allclose(
            resumed.table[column].fill_null(0).to_numpy(),
            whole.table[column].fill_null(0).to_numpy(),
            atol=2e-2,
        )
    assert not out.with_name(f"{name}.partial").exists()


def _recording(accessed: list[int]) -> Callable[..., Path]:
    def get(self, index: int) -> Path:  # type: ignore[no-untyped-def]
        accessed.append(index)
        return self.root / self.paths[index]

    return get


@pytest.mark.slow
def test_predict_resume_after_sigkill(trained: Run, many: Path, tmp_path: Path) -> None:
    for number in range(5, 60):
        shutil.copytree(many / "copy-1", many / f"copy-{number}", copy_function=os.link)
    out = tmp_path / "p.csv"
    arguments = ["predict", str(trained.path), str(many), "--out", str(out), "--quiet"]
    command = [sys.executable, "-m", "bestiary", *arguments]
    process = subprocess.Popen(command)
    while process.poll() is None and len(partial_rows(out)) < 32:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    assert not out.exists()
    assert 32 <= len(partial_rows(out)) < 1620
    resumed = subprocess.run([*command, "--resume"], check=False)
    assert resumed.returncode == 1  # one image is broken
    table = pl.read_csv(out)
    paths = [path.relative_to(many).as_posix() for path in many.rglob("*.jpg")]
    assert table["path"].to_list() == sorted(paths)
    assert not out.with_name("p.csv.partial").exists()


@pytest.mark.slow
def test_predict_resume_refuses_other_options(
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
    assert "contains an interrupted prediction; go on with --resume" in fails(*arguments)
    assert "another average" in fails(*arguments, "--resume", "--average", "vote")
    assert "another coverage" in fails(*arguments, "--resume", "--coverage", "0.8")
    assert "another number of views" in fails(*arguments, "--resume", "--tta", "2")
    assert "another folder" in fails(
        "predict", trained.path, many / "copy-1", "--out", out, "--resume"
    )
    request_file = out.with_name("p.csv.partial") / "asked.json"
    request = json.loads(request_file.read_text())
    request_file.write_text(json.dumps(request | {"run": "0" * 64}))
    assert "another run" in fails(*arguments, "--resume")
    request_file.write_text("{")
    assert "cannot be read" in fails(*arguments, "--resume")
    assert len(partial_rows(out)) == 32  # no row is lost


def test_csv_formulas_are_escaped(trained: Run, beasts: Path, tmp_path: Path) -> None:
    folder = tmp_path / "new"
    folder.mkdir()
    shutil.copy(next(beasts.rglob("*.jpg")), folder / "=1+1.jpg")
    result = bestiary.predict(trained.path, folder, out=tmp_path / "p.csv", quiet=True)
    assert "'=1+1.jpg" in (tmp_path / "p.csv").read_text()
    assert result.table["path"].to_list() == ["=1+1.jpg"]
