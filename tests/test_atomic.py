"""Atomic writes: a file is complete or absent, watched, and leftovers of a crash are removed."""

import os
from pathlib import Path

import pytest

from bestiary.atomic import (
    atomic_path,
    need_folder,
    remove_leftovers,
    watch_writes,
    write_bytes,
    write_text,
)
from bestiary.errors import BestiaryError


def test_write_text_leaves_no_temporary_file(tmp_path: Path) -> None:
    write_text(tmp_path / "new" / "a.txt", "größe\n")
    assert (tmp_path / "new" / "a.txt").read_bytes() == "größe\n".encode()
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["a.txt"]


def test_failure_keeps_the_previous_file(tmp_path: Path) -> None:
    goal = tmp_path / "a.txt"
    write_text(goal, "old")
    with pytest.raises(RuntimeError), atomic_path(goal) as temporary:
        temporary.write_text("half of the n")
        raise RuntimeError("power cut")
    assert goal.read_text() == "old"
    assert list(tmp_path.iterdir()) == [goal]


def test_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
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


def test_folder_that_cannot_be_created(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(BestiaryError, match="cannot be written"):
        write_text(tmp_path / "file" / "a.txt", "x")


def test_file_mode_follows_umask(tmp_path: Path) -> None:
    write_text(tmp_path / "a.txt", "x")
    plain = tmp_path / "b.txt"
    plain.touch()
    assert (tmp_path / "a.txt").stat().st_mode == plain.stat().st_mode


def test_former_file_is_renamed(tmp_path: Path) -> None:
    goal = tmp_path / "state"
    previous = tmp_path / "previous"
    for content in (b"first", b"second", b"third"):
        with atomic_path(goal, previous) as temporary:
            temporary.write_bytes(content)
    assert (goal.read_bytes(), previous.read_bytes()) == (b"third", b"second")


def test_watch_writes_below_the_folder(tmp_path: Path) -> None:
    written: list[Path] = []
    inside = tmp_path / "run" / "fold-0" / "a.txt"
    with watch_writes(tmp_path / "run", written.append):
        write_text(inside, "x")
        write_text(tmp_path / "elsewhere.txt", "x")
    write_text(inside, "y")
    assert written == [inside]


def test_remove_leftovers_by_age(tmp_path: Path) -> None:
    old = tmp_path / "a" / ".x.csv.1.tmp"
    young = tmp_path / ".y.csv.2.tmp"
    table = tmp_path / "z.csv"
    old.parent.mkdir()
    for file in (old, young, table):
        file.touch()
    os.utime(old, (0, 0))
    remove_leftovers(tmp_path, min_age=3600)
    assert not old.exists()
    assert young.exists()
    remove_leftovers(tmp_path)
    assert list(tmp_path.rglob("*.*")) == [table]


def test_needed_folder_that_is_renamed_is_not_made_again(tmp_path: Path) -> None:
    run = tmp_path / "run"
    write_text(run / "fold-0" / "a.txt", "x")
    with need_folder(run):
        write_text(run / "fold-0" / "a.txt", "y")
        run.rename(tmp_path / "moved")
        with pytest.raises(BestiaryError, match=r"run: is not there any more, and a\.txt is not"):
            write_text(run / "fold-0" / "a.txt", "z")
    assert not run.exists(), "no ghost"
    assert (tmp_path / "moved" / "fold-0" / "a.txt").read_text() == "y"
