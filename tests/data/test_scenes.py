"""Bursts: found by time, camera, folder and likeness, kept in one group, turned off."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import ExifTags, Image

from bestiary.data.audit import Audit, audit_images
from bestiary.data.folds import leak_groups
from bestiary.data.listing import list_labeled
from bestiary.data.scenes import join_scenes
from bestiary.display import Display
from bestiary.recipe.sections import DataOptions

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]


def save_photograph(file: Path, pixels: Pixels, time: str, camera: str = "Box 1") -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = camera
    exif.get_ifd(ExifTags.IFD.Exif)[ExifTags.Base.DateTimeOriginal] = time
    Image.fromarray(pixels).save(file, quality=92, exif=exif)


def frame(scene: Scene, number: int) -> Pixels:
    """A still scene with a subject that has moved and turned into another."""
    pixels = scene(1).copy()
    left = 20 + 25 * (number % 5)
    pixels[40:110, left : left + 70] = scene(50 + number)[40:110, :70]
    return pixels


@pytest.fixture
def data(tmp_path: Path, scene: Scene, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A burst of three frames, one frame of each other kind, and others without EXIF."""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    folder = tmp_path / "data"
    for number in range(3):
        time = f"2024:05:01 10:00:0{2 * number}"
        save_photograph(folder / f"a/burst-{number}.jpg", frame(scene, number), time)
    save_photograph(folder / "a/later.jpg", frame(scene, 3), "2024:05:01 10:05:00")
    save_photograph(folder / "a/other.jpg", scene(9), "2024:05:01 10:00:05")
    save_photograph(folder / "a/camera.jpg", frame(scene, 4), "2024:05:01 10:00:03", "Box 2")
    save_photograph(folder / "b/folder.jpg", frame(scene, 5), "2024:05:01 10:00:03")
    for number in range(3):
        Image.fromarray(scene(20 + number)).save(folder / f"b/{number}.jpg")
    return folder


def audit(data: Path, seconds: float = 10) -> Audit:
    options = DataOptions(burst_seconds=seconds)
    return audit_images(list_labeled(data), Display(quiet=True), options)


def test_burst_is_one_scene_and_no_near_duplicate(data: Path) -> None:
    audited = audit(data)
    burst = ["a/burst-0.jpg", "a/burst-1.jpg", "a/burst-2.jpg"]
    assert audited.scenes.rows() == [(path, burst[0]) for path in burst]
    assert audited.near_duplicates.is_empty()
    table = audited.manifest.table
    assert table.filter(pl.col("group").is_not_null())["path"].to_list() == burst
    assert not table["label_conflict"].any()
    groups = leak_groups(table)
    is_burst = table["path"].is_in(burst).to_numpy()
    assert len(set(groups[is_burst])) == 1
    assert len(set(groups)) == table.height - 2
    assert any(line.startswith("Same scene: 3 images in 1 burst") for line in audited.lines())


def test_option_sets_the_seconds_or_turns_bursts_off(data: Path) -> None:
    assert audit(data, 0).scenes.is_empty()
    assert audit(data, 1).scenes.is_empty()
    assert audit(data, 600).scenes.height == 4  # with the later frame


def test_scene_joins_groups_of_the_user() -> None:
    table = pl.DataFrame(
        {"path": ["1", "2", "3", "4"], "group": ["x", None, "y", None]},
        schema={"path": pl.String, "group": pl.String},
    )
    scenes = pl.DataFrame({"path": ["1", "2"], "scene": ["1", "1"]})
    assert join_scenes(table, scenes)["group"].to_list() == ["x", "x", "y", None]
    scenes = pl.DataFrame({"path": ["2", "4"], "scene": ["2", "2"]})
    assert join_scenes(table, scenes)["group"].to_list() == ["x", "2", "y", "2"]
    scenes = pl.DataFrame({"path": ["1", "3"], "scene": ["1", "1"]})
    assert join_scenes(table, scenes)["group"].to_list() == ["x", None, "x", None]


def test_time_that_is_none_is_ignored(data: Path, scene: Scene) -> None:
    save_photograph(data / "a/burst-0.jpg", frame(scene, 0), "0000:00:00 00:00:00")
    assert audit(data).scenes["path"].to_list() == ["a/burst-1.jpg", "a/burst-2.jpg"]
