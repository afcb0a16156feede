"""`labels`: class tables, fixes that a person decides on, and the next run that applies them."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from bestiary.cli import main
from bestiary.evaluation.labels import LabelReport, class_overlap, class_quality, review_labels
from bestiary.run.run import Run
from bestiary.stats.label_issues import find_label_issues

Pretend = Callable[..., Run]


def test_class_quality_and_class_overlap() -> None:
    truth = np.repeat([0, 1, 2], 50)
    labels = truth.copy()
    labels[:8] = 2  # eight images of class 0 have the label 2
    issues = find_label_issues(softmax(np.eye(3)[truth] * 6, axis=1), labels)
    assert sorted(issues.suspects) == list(range(8))
    quality = class_quality(issues, labels, ["x", "y", "z"])
    assert quality.select("label", "images", "suspects").rows() == [
        ("z", 58, 8),
        ("x", 42, 0),
        ("y", 50, 0),
    ]
    assert quality["share"].to_list() == pytest.approx([8 / 58, 0, 0])
    assert class_overlap(issues, labels, ["x", "y", "z"]).rows() == [("z", "x", 8)]


def test_labels_writes_fixes_and_tables(strayed: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", str(strayed.path)]) == 0
    folder = strayed.path / "labels"
    assert {file.name for file in folder.iterdir()} == {
        "fixes.csv",
        "class_quality.csv",
        "class_overlap.csv",
        "labels.html",
    }
    (row,) = pl.read_csv(folder / "fixes.csv").rows(named=True)
    first, second = sorted(strayed.read_table("manifest.parquet")["label"].unique())[:2]
    assert (row["path"], row["given"], row["suggested"]) == (f"{second}/stray.jpg", second, first)
    assert row["score"] < 0.01
    assert row["action"] is None
    assert capsys.readouterr().out.startswith("1 label is probably wrong")


def test_labels_never_overwrites_fixes(strayed: Run, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    main(["labels", str(strayed.path)])
    assert "fixes.csv: exists" in fails("labels", strayed.path)
    assert main(["labels", str(strayed.path), "--out", str(tmp_path / "elsewhere")]) == 0


def test_labels_refuses_unfinished_run(strayed: Run, fails) -> None:  # type: ignore[no-untyped-def]
    strayed.fold(1).oof.unlink()
    assert "fold 1 has not ended" in fails("labels", strayed.path)


def test_no_suspect_is_said_in_words(
    beasts: Path, pretend_run: Pretend, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = pretend_run(beasts, tmp_path / "run")
    capsys.readouterr()
    assert main(["labels", str(run.path)]) == 0
    folder = run.path / "labels"
    assert capsys.readouterr().out == f"No label is probably wrong: {folder / 'fixes.csv'}\n"
    assert "<h1>No label is probably wrong</h1>" in (folder / "labels.html").read_text()


def decide(report: LabelReport, action: str, file: Path) -> Path:
    report.fixes.with_columns(pl.lit(action).alias("action")).write_csv(file)
    return file


def test_fixes_relabel_is_trained_and_remembered(
    strayed: Run, pretend_run: Pretend, tmp_path: Path
) -> None:
    report = review_labels(strayed, tmp_path / "labels")
    before = {path: path.read_bytes() for path in strayed.read_root().rglob("*.jpg")}
    fixes = decide(report, "relabel", tmp_path / "fixes.csv")
    fixed = pretend_run(strayed.read_root(), tmp_path / "fixed", fixes)
    labels = dict(fixed.read_table("manifest.parquet").select("path", "label").iter_rows())
    stray = next(path for path in labels if "stray" in path)
    assert labels[stray] == min(labels.values()) != stray.split("/")[0]
    assert pl.read_csv(fixed.file("fixes.csv"))["action"].to_list() == ["relabel"]
    again = review_labels(fixed, tmp_path / "again")
    assert again.undecided.is_empty()
    assert str(again) == f"No other label is probably wrong: {tmp_path / 'again' / 'fixes.csv'}"
    assert again.fixes["path"].to_list() == [stray]
    assert {path: path.read_bytes() for path in strayed.read_root().rglob("*.jpg")} == before


def test_fixes_keep_and_drop_to_quarantine(
    strayed: Run, pretend_run: Pretend, tmp_path: Path
) -> None:
    report = review_labels(strayed, tmp_path / "labels")
    keep = decide(report, "keep", tmp_path / "keep.csv")
    kept = pretend_run(strayed.read_root(), tmp_path / "kept", keep)
    assert review_labels(kept, tmp_path / "again").undecided.is_empty()
    drop = decide(report, "drop", tmp_path / "drop.csv")
    dropped = pretend_run(strayed.read_root(), tmp_path / "dropped", drop)
    ((path, reason),) = pl.read_csv(dropped.file("quarantine.csv")).rows()
    assert path.endswith("stray.jpg")
    assert reason == "dropped by --fixes"


def test_resume_refuses_fixes(strayed: Run, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    line = fails(
        "train", strayed.read_root(), strayed.path, "--resume", "--fixes", tmp_path / "fixes.csv"
    )
    assert "has its labels already" in line
