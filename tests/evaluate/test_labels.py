"""Wrong labels: found among right ones, decided on by a person, applied to the next run and remembered by it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from scipy.special import softmax

from bestiary.cli import main
from bestiary.display import Display
from bestiary.evaluate.label_issues import class_overlap, class_quality, find_label_issues
from bestiary.evaluate.labels import LabelReport, review_labels
from bestiary.recipe import load_recipe
from bestiary.report.labels_page import labels_page
from bestiary.run import Run, write_oof
from bestiary.train.crossval import begin_run

CLASSES = 5


def noisy(seed: int, wrong: int = 12, pictures: int = 400):  # type: ignore[no-untyped-def]
    """Probabilities that lean to the true class, labels of which the first `wrong` are false, and the true ones."""
    rng = np.random.default_rng(seed)
    truth = np.arange(pictures) % CLASSES
    logits = rng.normal(0, 1, (pictures, CLASSES))
    logits[np.arange(pictures), truth] += 5
    labels = truth.copy()
    labels[:wrong] = (truth[:wrong] + 1 + rng.integers(0, CLASSES - 1, wrong)) % CLASSES
    return softmax(logits, axis=1), labels, truth


@pytest.mark.parametrize("seed", range(3))
def test_wrong_labels_are_ranked_before_right_ones_and_the_right_class_is_suggested(seed: int) -> None:
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
    assert quality.select("label", "pictures", "suspects").rows() == [("z", 58, 8), ("x", 42, 0), ("y", 50, 0)]
    assert quality["share"].to_list() == pytest.approx([8 / 58, 0, 0])
    assert class_overlap(issues, labels, ["x", "y", "z"]).rows() == [("z", "x", 8)]


@pytest.fixture
def run(beasts: Path, tmp_path: Path) -> Run:
    """A run as if trained: its members are sure of every label but that of one picture."""
    data = tmp_path / "data"
    shutil.copytree(beasts, data, ignore=shutil.ignore_patterns("truth.csv"))
    first, second = sorted(data.iterdir())[:2]
    sorted(first.iterdir())[4].rename(second / "stray.jpg")
    return pretend(data, tmp_path / "run")


def pretend(data: Path, place: Path, fixes: Path | None = None) -> Run:
    """Begin a run and write out-of-fold logits for it; they hold `stray.jpg` for the first class."""
    run = Run(place)
    begin_run(data, run, load_recipe("fast", ["folds.n=2"]), None, Display(quiet=True), fixes)
    table = run.read_table("manifest.parquet").join(run.read_table("folds.parquet"), on="path")
    classes = sorted(table["label"].unique())
    for fold in run.folds:
        part = table.filter(fold=fold).select("path", "label")
        believed = [classes[0] if "stray" in path else label for path, label in part.iter_rows()]
        logits = np.array([[8.0 * (name == label) for name in classes] for label in believed], np.float32)
        write_oof(run.fold(fold), part.with_columns(pl.Series("logits", logits, pl.Array(pl.Float32, 3))), classes)
        run.fold(fold).weights.touch()
    return run


def test_labels_writes_what_a_person_decides_on(run: Run, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["labels", str(run.path)]) == 0
    folder = run.path / "labels"
    assert {file.name for file in folder.iterdir()} == {
        "fixes.csv",
        "class_quality.csv",
        "class_overlap.csv",
        "labels.html",
    }
    (row,) = pl.read_csv(folder / "fixes.csv").rows(named=True)
    first, second = sorted(run.read_table("manifest.parquet")["label"].unique())[:2]
    assert (row["path"], row["given"], row["suggested"]) == (f"{second}/stray.jpg", second, first)
    assert row["score"] < 0.01 and row["action"] is None
    assert capsys.readouterr().out.startswith("1 labels are probably wrong")


def test_a_person_s_work_is_never_overwritten(run: Run, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    main(["labels", str(run.path)])
    assert "fixes.csv: exists" in fails("labels", run.path)
    assert main(["labels", str(run.path), "--out", str(tmp_path / "elsewhere")]) == 0


def test_a_run_that_has_not_ended_is_refused(run: Run, fails) -> None:  # type: ignore[no-untyped-def]
    run.fold(1).oof.unlink()
    assert "fold 1 has not ended" in fails("labels", run.path)


def decide(report: LabelReport, action: str, file: Path) -> Path:
    report.fixes.with_columns(pl.lit(action).alias("action")).write_csv(file)
    return file


def test_a_relabelled_picture_is_trained_under_its_new_label_and_not_asked_for_again(run: Run, tmp_path: Path) -> None:
    report = review_labels(run, tmp_path / "labels")
    before = {path: path.read_bytes() for path in run.root.rglob("*.jpg")}
    fixed = pretend(run.root, tmp_path / "fixed", decide(report, "relabel", tmp_path / "fixes.csv"))
    labels = dict(fixed.read_table("manifest.parquet").select("path", "label").iter_rows())
    stray = next(path for path in labels if "stray" in path)
    assert labels[stray] == min(labels.values()) != stray.split("/")[0]
    assert pl.read_csv(fixed.file("fixes.csv"))["action"].to_list() == ["relabel"]
    again = review_labels(fixed, tmp_path / "again")
    assert again.undecided.is_empty() and again.fixes["path"].to_list() == [stray]
    assert {path: path.read_bytes() for path in run.root.rglob("*.jpg")} == before


def test_a_kept_label_stands_and_a_dropped_picture_is_quarantined(run: Run, tmp_path: Path) -> None:
    report = review_labels(run, tmp_path / "labels")
    kept = pretend(run.root, tmp_path / "kept", decide(report, "keep", tmp_path / "keep.csv"))
    assert review_labels(kept, tmp_path / "again").undecided.is_empty()
    dropped = pretend(run.root, tmp_path / "dropped", decide(report, "drop", tmp_path / "drop.csv"))
    (row,) = pl.read_csv(dropped.file("quarantine.csv")).rows()
    assert row[0].endswith("stray.jpg") and row[1] == "dropped by --fixes"


def test_a_run_that_exists_takes_no_fixes(run: Run, tmp_path: Path, fails) -> None:  # type: ignore[no-untyped-def]
    line = fails("train", run.root, run.path, "--resume", "--fixes", tmp_path / "fixes.csv")
    assert "has its labels already" in line


STUB = """
const made = {};
const element = () => ({setAttribute() {}, replaceChildren() {}, add() {}, click() {}, blur() {}});
const listeners = {};
globalThis.document = {getElementById: id => made[id] ??= element(), createElement: element, querySelector: element};
globalThis.addEventListener = (name, heard) => { listeners[name] = heard; };
globalThis.Option = class {};
globalThis.press = key => listeners.keydown({key, target: {tagName: "BODY"}, preventDefault() {}});
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="Node.js is not installed")
def test_the_page_s_keys_decide_and_its_table_can_be_read(run: Run, tmp_path: Path) -> None:
    report = review_labels(run, tmp_path / "labels")
    odd = pl.DataFrame([('a/</script> "x", y.jpg', "a", "b", 0.5, None)], schema=report.fixes.schema, orient="row")
    page = labels_page(LabelReport(run, report.folder, pl.concat([report.fixes, odd]), {}, report.quality, odd))
    assert not re.search(r"https?://|<link|@import|url\(", page)
    assert page.count("</script>") == 1
    script = page.split("<script>")[1].split("</script>")[0]
    pressed = 'press("r"); press("ArrowLeft"); press("u"); press("d"); press("d");'
    code = STUB + script + f"{pressed} console.log(JSON.stringify([table(), made.progress.textContent]));"
    done = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True)
    table, progress = json.loads(done.stdout)
    (tmp_path / "fixes.csv").write_text(table)
    saved = pl.read_csv(tmp_path / "fixes.csv")
    assert saved["action"].to_list() == ["drop", "drop"]
    assert saved["path"].to_list() == [report.fixes["path"][0], 'a/</script> "x", y.jpg']
    assert progress == "Picture 2 of 2, 2 decided, not saved"
