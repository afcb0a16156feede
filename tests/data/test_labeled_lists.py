"""Paths and labels in memory become a table that `train` reads, or are refused in one line."""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

import bestiary
from bestiary.data.labeled_lists import TABLES, write_labeled
from bestiary.data.listing import list_labeled
from bestiary.errors import ArgumentError
from bestiary.recipe.load import load_recipe
from bestiary.recipe.sections import DataOptions


@pytest.fixture
def paths(beasts: Path) -> list[Path]:
    return sorted(beasts.rglob("*.jpg"))


@pytest.fixture
def labels(paths: list[Path]) -> list[str]:
    return [path.parent.name for path in paths]


def listed(data: Any, labels: Any = None) -> list[tuple[str, str]]:
    """What `train` would list."""
    file, root = write_labeled(data, labels, has_root=False)
    listing = list_labeled(file, DataOptions(root=root))
    return listing.table.select("path", "label").rows()


@pytest.mark.parametrize("kind", [list, tuple, np.array, pl.Series, iter])
def test_lists_are_the_folder(
    paths: list[Path], labels: list[str], beasts: Path, kind: Any
) -> None:
    expected = list_labeled(beasts).table.select("path", "label").rows()
    assert listed(kind([str(path) for path in paths]), kind(labels)) == expected
    assert listed(paths, labels) == expected


def test_frames_are_the_folder(paths: list[Path], labels: list[str], beasts: Path) -> None:
    expected = list_labeled(beasts).table.select("path", "label").rows()
    frame = pl.DataFrame({"Path": map(str, paths), "label": labels, "other": 0})
    assert listed(frame) == expected
    assert listed(frame.lazy()) == expected


def test_frames_of_pandas(paths: list[Path], labels: list[str], beasts: Path) -> None:
    pd = pytest.importorskip("pandas")
    expected = list_labeled(beasts).table.select("path", "label").rows()
    index = np.arange(len(paths))[::-1]
    frame = pd.DataFrame({"path": paths, "label": labels}, index=index)
    assert listed(frame) == expected
    assert listed(frame["path"], frame["label"].astype("category")) == expected
    gaps = pd.DataFrame({"path": paths[:3], "label": [1.0, np.nan, 0.0]})
    assert [label for _, label in listed(gaps)] == ["1", "0"]


@pytest.mark.parametrize("labels", [[0, 1, 1], np.array([0, 1, 1]), torch.tensor([0, 1, 1])])
def test_numbers_are_classes(paths: list[Path], labels: Any) -> None:
    assert [label for _, label in listed(paths[:3], labels)] == ["0", "1", "1"]


def test_relative_paths(
    paths: list[Path], labels: list[str], beasts: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(beasts)
    relative = [str(path.relative_to(beasts)) for path in paths]
    assert listed(relative, labels) == list(zip(relative, labels, strict=True))
    file, root = write_labeled(relative, labels, has_root=True)
    assert root == ""
    assert pl.read_parquet(file)["path"].to_list() == relative


def test_addresses_stay() -> None:
    addresses = ["s3://bucket/a.jpg", "s3://bucket/b.jpg"]
    file, root = write_labeled(addresses, ["a", "b"], has_root=False)
    assert (pl.read_parquet(file)["path"].to_list(), root) == (addresses, "")


@pytest.mark.parametrize(
    ("data", "labels", "message"),
    [
        (["a.jpg"], None, "a list of images needs labels"),
        (["a.jpg"], ["x", "y"], "there are 2 for 1 image"),
        (["a.jpg"], "x", "'x' is no list"),
        ([np.zeros((4, 4, 3), np.uint8)], ["x"], "image 0: ndarray is no path.*ImageClassifier"),
        ({"a.jpg": "x"}, None, "dict: is no dataset"),
        (7, ["x"], "int: is no dataset"),
        (pl.DataFrame({"file": ["a"]}), None, r"no column 'path' \(found file\)"),
        (pl.DataFrame({"path": ["a"], "label": ["b"]}), ["b"], "this frame has its own"),
    ],
)
def test_refused(data: Any, labels: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        write_labeled(data, labels, has_root=False)


def test_folder_with_labels_is_refused(beasts: Path, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="has its own; leave them out"):
        bestiary.train(beasts, tmp_path / "run", labels=["x"])


@pytest.mark.slow
def test_run_from_lists(
    paths: list[Path], labels: list[str], tiny: Path, trained: bestiary.Run, tmp_path: Path
) -> None:
    """The same images, labels and folds as from the folder, and it can be resumed."""
    place = tmp_path / "run"
    options: dict[str, Any] = {"recipe": tiny, "folds": 3, "quiet": True}
    run = bestiary.train(paths, place, labels=labels, only_fold=[0], **options)
    assert run.load().manifest.equals(trained.load().manifest)
    assert run.load().fold_table.equals(trained.load().fold_table)
    run = bestiary.train(paths, place, labels=labels, resume=True, **options)
    assert run.oof.equals(trained.oof)
    root = run.read_recipe().data.root
    assert Path(root) == paths[0].parents[1]
    assert load_recipe(run.file("recipe.toml")).data.root == root


def test_cache_that_takes_no_more_is_no_obstacle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path))
    (tmp_path / TABLES).write_text("a file where the folder should be")
    file, _ = write_labeled(["a.jpg", "b.jpg"], ["x", "y"], has_root=True)
    assert not file.is_relative_to(tmp_path)
    assert pl.read_parquet(file)["label"].to_list() == ["x", "y"]
