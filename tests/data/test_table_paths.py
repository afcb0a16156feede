"""Paths of a table -> paths below a folder: steps up, links, and both kinds of backslashes."""

import os
from pathlib import Path

import polars as pl
import pytest

from bestiary.data.listing import list_labeled
from bestiary.data.table_paths import paths_below
from bestiary.errors import DataError
from bestiary.recipe.load import load_recipe
from bestiary.storage.files import StoredFolder

needs_posix = pytest.mark.skipif(os.sep != "/", reason="a name of Windows has no backslash")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A folder with images a.jpg and x/b.jpg, and a link to a folder beside it."""
    for name in ("data/a.jpg", "data/x/b.jpg", "other/y/c.jpg", "other/a.jpg"):
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"image")
    (tmp_path / "data/link").symlink_to(tmp_path / "other/y")
    return tmp_path / "data"


def below(root: Path | StoredFolder, *paths: str) -> list[str]:
    return paths_below("table.csv", pl.Series("path", paths), root).to_list()


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("x/../a.jpg", "a.jpg"),
        ("./x/.././x/b.jpg", "x/b.jpg"),
        ("x/y/../../a.jpg", "a.jpg"),
        ("x//..//a.jpg", "a.jpg"),
        (r"x\..\a.jpg", "a.jpg"),
        ("{root}/x/../a.jpg", "a.jpg"),
        ("{root}/../data/a.jpg", "a.jpg"),
        ("link/c.jpg", "link/c.jpg"),
        ("a..b/c...jpg", "a..b/c...jpg"),
        ("..a.jpg", "..a.jpg"),
    ],
)
def test_a_path_that_stays_inside(root: Path, path: str, plain: str) -> None:
    assert below(root, path.format(root=root)) == [plain]


@pytest.mark.parametrize(
    "path",
    ["../a.jpg", "x/../../data/a.jpg", "..", "x/../..", "{root}/../other/a.jpg", "/a.jpg", "C:a"],
)
def test_a_path_that_leads_out(root: Path, path: str) -> None:
    """Also one that comes back: a table says nothing of what lies beside its folder."""
    with pytest.raises(DataError, match=r"leads out of .*; use paths below it"):
        below(root, path.format(root=root))


@pytest.mark.parametrize("path", ["link/../a.jpg", "x/../link/../a.jpg", r"link\..\a.jpg"])
def test_a_step_out_of_a_link_is_not_guessed(root: Path, path: str) -> None:
    """Of the link's target, .. is the folder other: a.jpg there is another image."""
    with pytest.raises(DataError, match=r"has \.\. in it, after a link; write the path without it"):
        below(root, path)


def test_a_store_follows_no_step_up() -> None:
    with pytest.raises(DataError, match="which a store does not follow"):
        below(StoredFolder("s3://bucket/data"), "x/../a.jpg")
    with pytest.raises(DataError, match="leads out of"):
        below(StoredFolder("s3://bucket/data"), "x/../../a.jpg")


def test_a_null_byte_is_named(root: Path) -> None:
    with pytest.raises(DataError, match="has a null byte in it"):
        below(root, "a\0.jpg")


@needs_posix
def test_a_backslash_of_a_name_stays(root: Path) -> None:
    r"""The file that a table names exactly comes before the one of Windows' spelling."""
    for name in (r"d\e.jpg", r"x\b.jpg", r"x/f\g.jpg"):
        (root / name).write_bytes(b"image")
    named = [r"d\e.jpg", r"x\b.jpg", r"x\f\g.jpg", r"./x/f\g.jpg", r"none\h.jpg", r"x\\b.jpg"]
    expected = [r"d\e.jpg", r"x\b.jpg", "x/f/g.jpg", r"x/f\g.jpg", "none/h.jpg", "x/b.jpg"]
    assert below(root, *named) == expected


@needs_posix
def test_a_table_names_all_that_a_folder_has(beasts: Path, tmp_path: Path) -> None:
    """A folder's listing, saved as a table, lists the same images."""
    for label in sorted(path for path in beasts.iterdir() if path.is_dir())[:2]:
        for number, file in enumerate(sorted(label.iterdir())[:3]):
            copy = tmp_path / "data" / label.name / rf"{number}\a.jpg"
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(file.read_bytes())
    options = load_recipe("fast").data
    listed = list_labeled(tmp_path / "data", options).table
    assert listed["path"].str.contains("\\", literal=True).all()
    listed.select("path", "label").write_csv(tmp_path / "data/table.csv")
    again = list_labeled(tmp_path / "data/table.csv", options).table
    assert again.select("path", "label").equals(listed.select("path", "label"))
