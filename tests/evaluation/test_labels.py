"""Wrong labels: found among right ones, decided on by a person, applied to the next run and
remembered by it.
"""

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

CLASSES = 5


def noisy(seed: int, wrong: int = 12, images: int = 400):  # type: ignore[no-untyped-def]
    """Probabilities that lean to the true class, labels of which the first `wrong` are false,
    and the true ones.
    """
    rng = np.random.default_rng(seed)
    truth = np.arange(images) % CLASSES
    logits = rng.normal(0, 1, (images, CLASSES))
    logits[np.arange(images), truth] += 5
    labels = truth.copy()
    labels[:wrong] = (truth[:wrong] + 1 + rng.integers(0, CLASSES - 1, wrong)) % CLASSES
    return softmax(logits, axis=1), labels, truth


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_ranked_before_right_ones_and_the_right_class_is_suggested(
    seed: int,
) -> None:
    probabilities, labels, truth = noisy(seed)
    issues = find_label_issues(probabilities, labels)
    assert np.mean(issues.suspects[:12] < 12) >= 0.9
    assert np.mean(issues.suggested[:12] == truth[:12]) >= 0.9
    assert (issues.suggested != labels).all()
    assert (np.diff(issues.quality[issues.suspects]) >= 0).all()
    assert len(issues.suspects) < 30


def test_classes_are_ranked_by_their_suspects_and_overlaps_are_counted() -> None:
    truth = np.repeat([0, 1, 2], 50)
    labels = truth.copy()
    labels[:8] = 2  # eight of class 0 lie in class 2
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


def test_labels_writes_what_a_person_decides_on(
    strayed: Run, capsys: pytest.CaptureFixture[str]
) -> None:
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
    assert row["score"] < 0.01 and row["action"] is None
    assert capsys.readouterr().out.startswith("1 labels are probably wrong")


def test_a_person_s_work_is_never_overwritten(strayed: Run, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    main(["labels", str(strayed.path)])
    assert "fixes.csv: exists" in fails("labels", strayed.path)
    assert main(["labels", str(strayed.path), "--out", str(tmp_path / "elsewhere")]) == 0


def test_a_run_that_has_not_ended_is_refused(strayed: Run, fails) -> None:  # type: ignore[no-untyped-def]
    strayed.fold(1).oof.unlink()
    assert "fold 1 has not ended" in fails("labels", strayed.path)


def decide(report: LabelReport, action: str, file: Path) -> Path:
    report.fixes.with_columns(pl.lit(action).alias("action")).write_csv(file)
    return file


def test_a_relabeled_image_is_trained_under_its_new_label_and_not_asked_for_again(
    strayed: Run, pretend_run: Pretend, tmp_path: Path
) -> None:
    report = review_labels(strayed, tmp_path / "labels")
    before = {path: path.read_bytes() for path in strayed.read_root().rglob("*.jpg")}
    fixed = pretend_run(
        strayed.read_root(), tmp_path / "fixed", decide(report, "relabel", tmp_path / "fixes.csv")
    )
    labels = dict(fixed.read_table("manifest.parquet").select("path", "label").iter_rows())
    stray = next(path for path in labels if "stray" in path)
    assert labels[stray] == min(labels.values()) != stray.split("/")[0]
    assert pl.read_csv(fixed.file("fixes.csv"))["action"].to_list() == ["relabel"]
    again = review_labels(fixed, tmp_path / "again")
    assert again.undecided.is_empty() and again.fixes["path"].to_list() == [stray]
    assert {path: path.read_bytes() for path in strayed.read_root().rglob("*.jpg")} == before


def test_a_kept_label_stands_and_a_dropped_image_is_quarantined(
    strayed: Run, pretend_run: Pretend, tmp_path: Path
) -> None:
    report = review_labels(strayed, tmp_path / "labels")
    kept = pretend_run(
        strayed.read_root(), tmp_path / "kept", decide(report, "keep", tmp_path / "keep.csv")
    )
    assert review_labels(kept, tmp_path / "again").undecided.is_empty()
    dropped = pretend_run(
        strayed.read_root(), tmp_path / "dropped", decide(report, "drop", tmp_path / "drop.csv")
    )
    (row,) = pl.read_csv(dropped.file("quarantine.csv")).rows()
    assert row[0].endswith("stray.jpg") and row[1] == "dropped by --fixes"


def test_a_run_that_exists_takes_no_fixes(strayed: Run, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    line = fails(
        "train", strayed.read_root(), strayed.path, "--resume", "--fixes", tmp_path / "fixes.csv"
    )
    assert "has its labels already" in line
