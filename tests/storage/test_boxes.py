"""Names of boxes, their checks, and a folder whose files carry their box."""

import math
from pathlib import Path

import pytest

from bestiary.storage.boxes import (
    MARK,
    Box,
    BoxFile,
    BoxFolder,
    checked_box,
    path_with_box,
    split_box,
    split_path,
    with_box,
)


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ([0.9, 0.1, 0.2, 0.2], "outside"),
        ([-0.1, 0.1, 0.2, 0.2], "outside"),
        ([0.1, 0.1, 0.0, 0.2], "no area"),
        ([0.1, 0.1, 0.2, -0.2], "no area"),
        ([0.1, 0.1, 1e-9, 0.2], "no area"),
        ([1.0005, 0.1, 0.0004, 0.2], "no area"),
        ([0.1, math.nan, 0.2, 0.2], "no number"),
        ([0.1, 0.1, math.inf, 0.2], "no number"),
        ([0.1, 0.1, 0.2], "4 numbers"),
    ],
)
def test_a_box_that_is_none_has_a_reason(values: list[float], reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        checked_box(values)


def test_a_box_may_leave_its_image_by_rounding() -> None:
    assert checked_box([0.5, -0.0004, 0.5005, 1.0]) == Box(0.5, 0.0, 0.5, 0.9996)


@pytest.mark.parametrize("path", ["a.jpg", "ä b/c#1.jpg", "x#xywh=percent:1,2,3,4/y.png"])
def test_a_name_gives_its_path_and_box_again(path: str) -> None:
    box = checked_box([0.123456, 0.25, 1 / 3, 0.4])
    assert split_path(path_with_box(path, box)) == (path, box)
    assert split_path(path) == (path, None)


@pytest.mark.parametrize(
    "name", ["a#xywh=percent:0,0,0,1", "a#xywh=percent:50,0,60,1", "a#xywh=percent:1,2,3,4.5.6"]
)
def test_a_name_with_a_bad_box_is_a_path(name: str) -> None:
    assert split_path(name) == (name, None)


def test_bytes_carry_their_box() -> None:
    box = Box(0.1, 0.2, 0.3, 0.4)
    assert split_box(with_box(b"image", box)) == (b"image", box)
    assert split_box(with_box(b"image", box)[:-1])[1] is None
    assert split_box(b"") == (b"", None)
    damaged = b"image" + MARK + bytes(32)
    assert split_box(damaged) == (damaged, None)


def test_a_folder_gives_files_with_their_box(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"image")
    folder = BoxFolder(tmp_path)
    file = folder / "a.jpg#xywh=percent:10,20,30,40"
    assert isinstance(file, BoxFile)
    assert file.is_file()
    assert split_box(file.read_bytes()) == (b"image", Box(0.1, 0.2, 0.3, 0.4))
    assert file.size_bytes == len(file.read_bytes())
    assert folder / "a.jpg" == tmp_path / "a.jpg"
    assert not (folder / "b.jpg#xywh=percent:10,20,30,40").is_file()
