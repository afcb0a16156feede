"""Preparation of a run: near duplicates, label conflicts, groups and folds change what is trained.

Also `bestiary scan`, which reports the same findings.
"""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

import bestiary
from bestiary.cli import main
from bestiary.display import Display
from bestiary.errors import DataError
from bestiary.recipe.load import load_recipe
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet
from bestiary.training.prepare import begin_run


@pytest.fixture(scope="module")
def faulty(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beasts with a mirrored copy in the same class, one in another, and an empty file."""
    data = tmp_path_factory.mktemp("data") / "faulty"
    shutil.copytree(beasts, data)
    for file in data.glob("truth.csv"):
        file.unlink()
    first, second = (sorted(folder.iterdir()) for folder in sorted(data.iterdir())[:2])
    with Image.open(first[0]) as image:
        mirrored = image.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        mirrored.save(first[0].with_name("copy.jpg"), quality=90)
    with Image.open(first[1]) as image:
        image.save(second[0].with_name("conflict.jpg"), quality=70)
    first[0].with_name("empty.jpg").touch()
    return data


@pytest.fixture(scope="module")
def faulty_run(faulty: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A trained run of two folds on them."""
    run = tmp_path_factory.mktemp("runs") / "run"
    return bestiary.train(faulty, run, recipe=tiny, folds=2, quiet=True)


def with_folds(run: Run) -> pl.DataFrame:
    """The manifest of a run, with the fold of each image."""
    folds = run.read_table("folds.parquet")
    return run.read_table("manifest.parquet").join(folds, on="path")


def folds_per_value(table: pl.DataFrame, key: str) -> list[int]:
    """The number of folds of each value of a column, sorted."""
    folds = table.group_by(key).agg(pl.col("fold").n_unique())["fold"]
    return sorted(folds.to_list())


def test_near_duplicates_share_a_fold(faulty_run: Run) -> None:
    copies = with_folds(faulty_run).filter(pl.col("duplicate_group").is_not_null())
    assert copies.height == 4
    assert folds_per_value(copies, "duplicate_group") == [1, 1]
    recorded = pl.read_csv(faulty_run.file("near_duplicates.csv"))
    assert recorded["path"].to_list() == copies.sort("duplicate_group", "path")["path"].to_list()
    assert pl.read_csv(faulty_run.file("warnings.csv")).height == 0
    assert pl.read_csv(faulty_run.file("quarantine.csv")).height == 1


def test_label_conflicts_are_not_scored(faulty_run: Run) -> None:
    table = faulty_run.read_table("manifest.parquet")
    folds = faulty_run.read_table("folds.parquet")
    conflicts = set(table.filter("label_conflict")["path"])
    assert len(conflicts) == 2
    data = TrainingSet.of(faulty_run.read_recipe(), table, faulty_run.read_root(), folds)
    rows = np.arange(table.height)
    assert set(data.paths[rows]) - set(data.paths[data.scorable(rows)]) == conflicts

    # They are trained on and predicted.
    logits = pl.concat(read_oof(faulty_run.fold(fold))[0] for fold in faulty_run.fold_numbers())
    assert conflicts <= set(logits["path"])

    # The score leaves them out; the two copies of one class are one group.
    accuracy = json.loads(faulty_run.file("metrics.json").read_text())["oof"]["accuracy"]
    assert accuracy["n"] == table.height - 2
    assert accuracy["groups"] == table.height - 3
    scored = logits.filter(~pl.col("path").is_in(list(conflicts)))
    classes = read_oof(faulty_run.fold(0))[1]
    hits = [
        classes[int(np.argmax(row))] == label
        for row, label in scored.select("logits", "label").iter_rows()
    ]
    assert accuracy["value"] == pytest.approx(np.mean(hits))


def test_fold_without_scorable_image_is_refused(
    tmp_path: Path, tiny: Path, beasts: Path, fails: Callable[..., str]
) -> None:
    data = tmp_path / "data"
    first, second = sorted(path for path in beasts.iterdir() if path.is_dir())[:2]
    for label in ("a", "b"):
        (data / label).mkdir(parents=True)
        shutil.copy(sorted(first.iterdir())[0], data / label / "1.jpg")
        shutil.copy(sorted(second.iterdir())[0], data / label / "2.jpg")
    line = fails("train", data, tmp_path / "run", "--recipe", tiny, "--folds", 2)
    assert "every image has a near duplicate with another label" in line
    assert not (tmp_path / "run").exists()


def begin(data: Path, path: Path, fold_file: Path | None = None, *overrides: str) -> pl.DataFrame:
    """Begin a run of two folds without training; return its images with their folds."""
    run = Run(path)
    recipe = load_recipe("fast", ["folds.n=2", *overrides])
    begin_run(data, run, recipe, fold_file, Display())
    return with_folds(run)


def test_one_group_cannot_be_held_out(beasts: Path, tmp_path: Path) -> None:
    """Though the remedy of rare classes has been taken."""
    options = ["data.group_pattern=(j)pg", "folds.rare_classes=keep"]
    with pytest.raises(DataError, match="none can be held out"):
        begin(beasts, tmp_path / "run", None, *options)


def test_group_pattern_joins_near_duplicates(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pattern = r"data.group_pattern=(\d)\.jpg"
    table = begin(faulty, tmp_path / "run", None, pattern, "folds.rare_classes=keep")
    assert table["group"].equals(table["path"].str.extract(r"(\d)\.jpg").alias("group"))
    for key in ("group", "duplicate_group"):
        grouped = table.filter(pl.col(key).is_not_null())
        assert set(folds_per_value(grouped, key)) == {1}
    printed = capsys.readouterr().err
    for line in ("1 unusable", "Near duplicates: 4 images", "Label conflicts: 2 images"):
        assert printed.count(line) == 1


def test_group_column_goes_before_pattern(beasts: Path, tmp_path: Path) -> None:
    paths = sorted(path.relative_to(beasts).as_posix() for path in beasts.rglob("*.jpg"))
    groups = ["mine" if index < 2 else None for index in range(len(paths))]
    labels = [path.split("/")[0] for path in paths]
    table = pl.DataFrame({"path": paths, "label": labels, "group": groups})
    table.write_csv(tmp_path / "t.csv")
    options = [
        r"data.group_pattern=(\d)\.jpg",
        "folds.rare_classes=keep",
        f"data.root={beasts}",
    ]
    begun = begin(tmp_path / "t.csv", tmp_path / "run", None, *options)
    assert begun["group"].to_list() == ["mine", "mine", *(path[-5] for path in paths[2:])]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(cam", "is not a regular expression"),
        ("cam", "has no parentheses"),
        ("camera(x)", "is found in none of the"),
    ],
)
def test_bad_group_pattern_is_one_line(
    pattern: str, message: str, beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    option = f"data.group_pattern={pattern}"
    line = fails("train", beasts, tmp_path / "run", "--recipe", tiny, "--set", option)
    assert message in line
    assert repr(pattern) in line


def test_own_folds_that_straddle_groups_warn(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [path for path in faulty.rglob("*.jpg") if path.stat().st_size]
    paths = sorted(path.relative_to(faulty).as_posix() for path in files)
    folds = [int(path.endswith("copy.jpg") or index > 20) for index, path in enumerate(paths)]
    pl.DataFrame({"path": paths, "fold": folds}).write_csv(tmp_path / "folds.csv")
    begin(faulty, tmp_path / "run", tmp_path / "folds.csv")
    assert "1 group straddles its folds" in capsys.readouterr().err


def test_scan_reports_findings(
    faulty: Path, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in faulty.rglob("*.jpg")}
    assert main(["scan", str(faulty), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].endswith("29 images of 3 classes")
    assert "Label conflicts: 2 images" in printed.out
    assert printed.err == ""
    quarantine = pl.read_csv(tmp_path / "out/quarantine.csv")
    assert quarantine["reason"].to_list() == ["empty file"]
    assert {path: path.read_bytes() for path in faulty.rglob("*.jpg")} == before
    assert main(["scan", str(beasts), "--quiet"]) == 0


def test_scan_without_folder_is_one_line(tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "no such folder" in fails("scan", tmp_path / "absent")
