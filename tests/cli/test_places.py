"""Places that the system refuses to look at: one line, and no traceback."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary.cli import main
from bestiary.places import describe_place

LONG = "x" * 300


@pytest.mark.parametrize(
    "arguments",
    [
        ["scan", LONG],
        ["show", LONG],
        ["report", LONG],
        ["sample", LONG],
        ["train", LONG, "run"],
        ["probe", "{data}", LONG],
        ["probe", "{data}", "run", "--fixes", LONG],
        ["predict", LONG, "{data}", "--out", "new.csv"],
        ["compare", LONG, LONG],
        ["export", LONG, "new.onnx"],
    ],
)
def test_a_name_too_long(
    arguments: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data").mkdir()
    line = fails(*(word.format(data=tmp_path / "data") for word in arguments))
    assert "cannot be used (File name too long); choose a shorter name" in line or "data" in line
    assert sorted(path.name for path in tmp_path.iterdir()) == ["data"]


def test_a_folder_that_may_not_be_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    def refuse(path: Path) -> bool:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "is_dir", refuse)
    line = fails("scan", tmp_path / "secret")
    assert f"{tmp_path}/secret: cannot be used (Permission denied); check its permissions" in line


def test_another_error_of_the_system_is_a_defect(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(path: Path) -> bool:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF), str(path))

    monkeypatch.setattr(Path, "is_dir", fail)
    with pytest.raises(OSError, match="Bad file descriptor"):
        main(["scan", "anything"])
    assert describe_place(OSError("no number")) is None
    assert describe_place(OSError(errno.EACCES, "Permission denied")) is None
