"""What a run's folder may hold: links inside it, and nothing that leads out or is special."""

import os
import socket
from pathlib import Path

import pytest

from bestiary.errors import DamagedError
from bestiary.run import contents
from bestiary.run.contents import check_contents


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    (folder / "fold-0" / "last").mkdir(parents=True)
    (folder / "recipe.toml").touch()
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").touch()
    return folder


def test_files_folders_and_links_inside_pass(run: Path) -> None:
    (run / "latest").symlink_to("fold-0")
    (run / "fold-0" / "copy.toml").symlink_to(run / "recipe.toml")
    check_contents(run)


def test_run_that_is_a_link_itself_passes(run: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(run)
    check_contents(tmp_path / "link")


@pytest.mark.parametrize(
    "place", ["report.html", "figures", ".lock", "fold-0/last/state.safetensors"]
)
@pytest.mark.parametrize("target", ["outside", "outside/file", "/dev/zero", "/"])
def test_link_out_of_the_run_is_refused(run: Path, tmp_path: Path, place: str, target: str) -> None:
    (run / place).symlink_to(tmp_path / target)
    with pytest.raises(DamagedError, match=f"{place}: is a link that leaves the run"):
        check_contents(run)


def test_link_to_nowhere_and_loop_are_refused(run: Path, tmp_path: Path) -> None:
    (run / "a").symlink_to(run / "a")
    with pytest.raises(DamagedError, match="leads nowhere"):
        check_contents(run)
    (run / "a").unlink()
    (run / "b").symlink_to(tmp_path / "none")
    with pytest.raises(DamagedError, match="leads nowhere"):
        check_contents(run)


def test_fifo_and_socket_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    os.mkfifo(run / "fold-0" / "oof.parquet")
    with pytest.raises(DamagedError, match="it is a FIFO"):
        check_contents(run)
    (run / "fold-0" / "oof.parquet").unlink()
    monkeypatch.chdir(run)  # the name of a socket is short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("s")
        with pytest.raises(DamagedError, match="it is a socket"):
            check_contents(run)


def test_too_many_files_are_refused(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contents, "MAX_ENTRIES", 2)
    with pytest.raises(DamagedError, match="more than 2 files"):
        check_contents(run)
