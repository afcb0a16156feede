"""What the audit finds changes what is trained and scored."""

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
from bestiary.recipe.load import load_recipe
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.dataset import TrainingSet
from bestiary.training.prepare import begin_run


@pytest.fixture(scope="module")
def faulty(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The beasts with a mirrored copy in the same class, one in another class, and an empty
    file.
    """
    data = tmp_path_factory.mktemp("data") / "faulty"
    shutil.copytree(beasts, data)
    for file in data.glob("truth.csv"):
        file.unlink()
    one, other = (sorted(folder.iterdir()) for folder in sorted(data.iterdir())[:2])
    with Image.open(one[0]) as image:
        image.transpose(Image.Transpose.FLIP_LEFT_RIGHT).save(
            one[0].with_name("copy.jpg"), quality=90
        )
    with Image.open(one[1]) as image:
        image.save(other[0].with_name("conflict.jpg"), quality=70)
    one[0].with_name("empty.jpg").touch()
    return data


@pytest.fixture(scope="module")
def guarded(faulty: Path, tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    """A run of two folds on them."""
    return bestiary.train(
        faulty, tmp_path_factory.mktemp("runs") / "run", recipe=tiny, folds=2, quiet=True
    )


def test_copies_are_in_one_fold_and_are_recorded(guarded: Run) -> None:
    table = guarded.read_table("manifest.parquet").join(
        guarded.read_table("folds.parquet"), on="path"
    )
    copied = table.filter(pl.col("duplicate_group").is_not_null())
    assert copied.height == 4 and copied["duplicate_group"].n_unique() == 2
    assert copied.group_by("duplicate_group").agg(pl.col("fold").n_unique())["fold"].to_list() == [
        1,
        1,
    ]
    assert (
        pl.read_csv(guarded.file("near_duplicates.csv"))["path"].to_list()
        == copied.sort("duplicate_group", "path")["path"].to_list()
    )
    assert pl.read_csv(guarded.file("warnings.csv")).height == 0
    assert pl.read_csv(guarded.file("quarantine.csv")).height == 1


def test_conflicts_are_trained_on_and_predicted_but_not_scored(guarded: Run) -> None:
    table = guarded.read_table("manifest.parquet")
    conflicts = set(table.filter("label_conflict")["path"])
    assert len(conflicts) == 2
    data = TrainingSet.of(
        guarded.read_recipe(), table, guarded.read_root(), guarded.read_table("folds.parquet")
    )
    rows = np.arange(table.height)
    assert set(data.paths[rows]) - set(data.paths[data.scored(rows)]) == conflicts
    logits = pl.concat(read_oof(guarded.fold(fold))[0] for fold in guarded.fold_numbers())
    assert conflicts <= set(logits["path"])
    scored = json.loads(guarded.file("metrics.json").read_text())["oof"]["accuracy"]
    assert scored["n"] == table.height - 2
    assert (
        scored["groups"] == table.height - 3
    )  # the two copies of one class are one piece of evidence
    right = logits.filter(~pl.col("path").is_in(list(conflicts)))
    classes = read_oof(guarded.fold(0))[1]
    hits = [
        classes[int(np.argmax(row))] == label
        for row, label in right.select("logits", "label").iter_rows()
    ]
    assert scored["value"] == pytest.approx(np.mean(hits))


def test_a_fold_whose_every_image_is_in_conflict_is_refused(
    tmp_path: Path, tiny: Path, fails, beasts: Path
) -> None:  # type: ignore[no-untyped-def]
    first, second = sorted(path for path in beasts.iterdir() if path.is_dir())[:2]
    for label in ("a", "b"):
        (tmp_path / "data" / label).mkdir(parents=True)
        shutil.copy(sorted(first.iterdir())[0], tmp_path / "data" / label / "1.jpg")
        shutil.copy(sorted(second.iterdir())[0], tmp_path / "data" / label / "2.jpg")
    line = fails("train", tmp_path / "data", tmp_path / "run", "--recipe", tiny, "--folds", 2)
    assert "every image has a copy with another label" in line
    assert not (tmp_path / "run").exists()


def begin(data: Path, run: Path, fold_file: Path | None = None, *overrides: str) -> pl.DataFrame:
    """Begin a run of two folds without training it; gives its images with their folds."""
    begun = Run(run)
    begin_run(data, begun, load_recipe("fast", ["folds.n=2", *overrides]), fold_file, Display())
    return begun.read_table("manifest.parquet").join(begun.read_table("folds.parquet"), on="path")


def test_a_pattern_on_the_path_groups_images_and_copies_join_its_groups(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    table = begin(
        faulty, tmp_path / "run", None, r"data.group_pattern=(\d)\.jpg", "folds.rare_classes=keep"
    )
    assert table["group"].equals(table["path"].str.extract(r"(\d)\.jpg").alias("group"))
    for key in ("group", "duplicate_group"):
        known = table.filter(pl.col(key).is_not_null())
        assert known.group_by(key).agg(pl.col("fold").n_unique())["fold"].unique().to_list() == [1]
    printed = capsys.readouterr().err
    for word in ("Unusable: 1 files", "Copies: 4 images", "Conflicts: 2 images"):
        assert printed.count(word) == 1


def test_a_column_of_groups_goes_before_the_pattern(beasts: Path, tmp_path: Path) -> None:
    paths = sorted(path.relative_to(beasts).as_posix() for path in beasts.rglob("*.jpg"))
    own = ["mine" if number < 2 else None for number in range(len(paths))]
    labels = [path.split("/")[0] for path in paths]
    pl.DataFrame({"path": paths, "label": labels, "group": own}).write_csv(tmp_path / "t.csv")
    asked = [r"data.group_pattern=(\d)\.jpg", "folds.rare_classes=keep", f"data.root={beasts}"]
    table = begin(tmp_path / "t.csv", tmp_path / "run", None, *asked)
    assert table["group"].to_list() == ["mine", "mine", *(path[-5] for path in paths[2:])]


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("(cam", "is not a regular expression"),
        ("cam", "has no parentheses"),
        ("camera(x)", "is found in none of the"),
    ],
)
def test_a_bad_pattern_is_one_clear_line(
    pattern: str, message: str, beasts: Path, tiny: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails(
        "train",
        beasts,
        tmp_path / "run",
        "--recipe",
        tiny,
        "--set",
        f"data.group_pattern={pattern}",
    )
    assert message in line and repr(pattern) in line


def test_a_user_s_folds_that_part_copies_are_announced(
    faulty: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = sorted(
        path.relative_to(faulty).as_posix() for path in faulty.rglob("*.jpg") if path.stat().st_size
    )
    folds = [int(path.endswith("copy.jpg") or number > 20) for number, path in enumerate(paths)]
    pl.DataFrame({"path": paths, "fold": folds}).write_csv(tmp_path / "folds.csv")
    begin(faulty, tmp_path / "run", tmp_path / "folds.csv")
    assert "1 groups straddle its folds" in capsys.readouterr().err


def test_scan_prints_what_it_finds_and_says_so_by_its_exit_status(
    faulty: Path, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = {path: path.read_bytes() for path in faulty.rglob("*.jpg")}
    assert main(["scan", str(faulty), "--out", str(tmp_path / "out"), "--quiet"]) == 1
    printed = capsys.readouterr()
    assert printed.out.splitlines()[0].endswith("29 images of 3 classes")
    assert "Conflicts: 2 images" in printed.out and printed.err == ""
    assert pl.read_csv(tmp_path / "out/quarantine.csv")["reason"].to_list() == ["empty file"]
    assert {path: path.read_bytes() for path in faulty.rglob("*.jpg")} == before
    assert main(["scan", str(beasts), "--quiet"]) == 0


def test_scan_of_nothing_is_one_clear_line(tmp_path: Path, fails: Callable[..., str]) -> None:
    assert "no such folder" in fails("scan", tmp_path / "absent")
