"""A folder to write several files into that is named as if it were one file."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary.cli import main


@pytest.mark.parametrize("verb", ["compare", "evaluate", "scan", "labels", "shard"])
def test_name_of_a_file_is_refused(
    verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    """Before anything is read: no run and no images are there."""
    monkeypatch.chdir(tmp_path)
    places = {"compare": ["run", "other"], "evaluate": ["run", "images"], "labels": ["run"]}
    before = places.get(verb, ["images"])
    option = [] if verb == "shard" else ["--out"]
    name = "x.tar" if verb == "shard" else "x.html"
    line = fails(verb, *before, *option, name)
    assert f"{name}: names a file, and several are written; name a folder, such as x" in line
    assert list(tmp_path.iterdir()) == []
    (tmp_path / "note").write_text("mine")
    assert "note: is a file, and several are written" in fails(verb, *before, *option, "note")
    assert (tmp_path / "note").read_text() == "mine"


def test_folder_that_exists_may_have_any_name(beasts: Path, tmp_path: Path) -> None:
    out = tmp_path / "x.html"
    out.mkdir()
    assert main(["scan", str(beasts), "--out", str(out), "--quiet"]) == 0
    assert (out / "scan.html").is_file()
