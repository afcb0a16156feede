"""Files are whole or absent."""

import os
from pathlib import Path

import pytest

from bestiary.atomic import atomic_path, write_bytes, write_text
from bestiary.errors import BestiaryError


def test_text_arrives_whole_and_leaves_nothing_beside_it(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "größe\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "größe\n".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_a_failure_leaves_the_file_that_was_there(tmp_path: Path) -> None:
    goal = tmp_path / "a.txt"
    write_text(goal, "old")
    with pytest.raises(RuntimeError), atomic_path(goal) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("power cut")
    assert goal.read_text() == "old"
    assert list(tmp_path.iterdir()) == [goal]


def test_a_full_disk_is_one_clear_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    goal = tmp_path / "a.txt"
    write_text(goal, "old")

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(
        BestiaryError, match=r"a.txt: cannot be written \(No space left on device\)"
    ):
        write_bytes(goal, b"new")
    assert goal.read_text() == "old"
    assert list(tmp_path.iterdir()) == [goal]


def test_a_folder_that_cannot_be_made_is_one_clear_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BestiaryError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_files_can_be_read_by_others_as_the_umask_says(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    plain = tmp_path / "b.txt"
    plain.touch()
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode
