"""Drawn camera traps: deterministic bytes, sites that look like themselves, events and boxes."""

import csv
import json
from datetime import datetime
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from bestiary.beasts.camera_plan import NO_ANIMAL, invent_sites, plan_frames
from bestiary.beasts.camera_sample import CameraSummary, draw_cameras
from bestiary.errors import ArgumentError

Drawn = tuple[Path, CameraSummary]


def draw(folder: Path, seed: int = 0) -> CameraSummary:
    return draw_cameras(folder, 3, species=3, per_species=8, size=96, seed=seed)


def contents(folder: Path) -> dict[str, bytes]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {str(path.relative_to(folder)): path.read_bytes() for path in files}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    folder = tmp_path_factory.mktemp("cameras") / "traps"
    return folder, draw(folder)


def rows_of(drawn: Drawn) -> list[dict[str, str]]:
    with drawn[1].table.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def pixels_of(folder: Path, path: str) -> np.ndarray:
    with Image.open(folder / path) as image:
        return np.asarray(image, np.float32)


def test_same_seed_same_bytes(drawn: Drawn, tmp_path: Path) -> None:
    draw(tmp_path / "again")
    assert contents(tmp_path / "again") == contents(drawn[0])
    draw(tmp_path / "other", seed=1)
    assert contents(tmp_path / "other") != contents(drawn[0])


def test_table_and_summary(drawn: Drawn) -> None:
    folder, summary = drawn
    rows = rows_of(drawn)
    assert len(rows) == summary.images == 30 and summary.empty == 6
    assert sorted({row["label"] for row in rows}) == list(summary.classes)
    assert all((folder / row["path"]).is_file() for row in rows)
    assert {row["path"].split("/")[1] for row in rows} == {row["site"] for row in rows}
    assert str(summary).startswith("30 images of 3 cameras in ")


def test_exif_says_what_the_table_says(drawn: Drawn) -> None:
    for row in rows_of(drawn):
        with Image.open(drawn[0] / row["path"]) as image:
            exif = image.getexif()
        details = exif.get_ifd(ExifTags.IFD.Exif)
        taken = datetime.strptime(details[ExifTags.Base.DateTimeOriginal], "%Y:%m:%d %H:%M:%S")
        assert taken == datetime.fromisoformat(row["time"])
        assert details[ExifTags.Base.BodySerialNumber] == row["site"]
        degrees, minutes, seconds = exif.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSLatitude]
        angle = float(degrees) + float(minutes) / 60 + float(seconds) / 3600
        assert abs(angle - float(row["lat"])) < 1e-6


def test_boxes_hold_the_animals(drawn: Drawn) -> None:
    summary = drawn[1]
    entries = json.loads(summary.detections.read_text())["images"]
    labels = {row["path"]: row["label"] for row in rows_of(drawn)}
    assert [entry["file"] for entry in entries] == list(labels)
    animals = 0
    for entry in entries:
        boxes = [found["bbox"] for found in entry["detections"] if found["conf"] > 0.5]
        animals += len(boxes)
        assert bool(boxes) == (labels[entry["file"]] != "empty")
        for x, y, width, height in boxes:
            assert 0 <= x < x + width <= 1.0001 and 0 <= y < y + height <= 1.0001
    assert animals == summary.boxes


def test_taxonomy(drawn: Drawn) -> None:
    with (drawn[0] / "taxonomy.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [row["label"].split()[0] for row in rows] == [row["genus"] for row in rows]
    assert {row["label"] for row in rows} | {"empty"} == set(drawn[1].classes)
    assert all(row["family"] and row["order"] for row in rows)


def test_sites_look_like_themselves(drawn: Drawn) -> None:
    by_site: dict[str, list[np.ndarray]] = {}
    for row in rows_of(drawn):
        gray = pixels_of(drawn[0], row["path"]).mean(axis=2).ravel()
        by_site.setdefault(row["site"], []).append((gray - gray.mean()) / gray.std())
    sites = [np.stack(images) for images in by_site.values()]
    within = np.mean([(site @ site.T / site.shape[1]).mean() for site in sites])
    between = np.mean(
        [(a @ b.T / a.shape[1]).mean() for n, a in enumerate(sites) for b in sites[:n]]
    )
    assert within > between + 0.1


def test_day_and_night() -> None:
    frames = plan_frames(invent_sites(3, 0), 3, 8, 0)
    assert {frame.night for frame in frames} == {False, True}


def test_events_do_not_overlap() -> None:
    frames = plan_frames(invent_sites(2, 5), 20, 200, 5)
    last = {}
    for frame in frames:
        before = last.get(frame.site)
        if before is not None:
            gap = (frame.time - before.time).total_seconds()
            assert gap >= 180 if before.event != frame.event else 1 <= gap <= 3
        last[frame.site] = frame
    assert sum(frame.species == NO_ANIMAL for frame in frames) == 1000


def test_species_prefer_sites() -> None:
    frames = plan_frames(invent_sites(12, 0), 10, 100, 0)
    counts = np.zeros((10, 12))
    for frame in frames:
        if frame.species != NO_ANIMAL:
            counts[frame.species, frame.site] += 1
    shares = counts / counts.sum(axis=1, keepdims=True)
    assert (shares.max(axis=1) > 2 / 12).all()


def test_nothing_is_left_unfinished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("bestiary.beasts.camera_sample._detections", fail)
    with pytest.raises(KeyboardInterrupt):
        draw_cameras(tmp_path / "new" / "traps", 2, species=2, per_species=2, size=64)
    (tmp_path / "empty").mkdir()
    with pytest.raises(KeyboardInterrupt):
        draw_cameras(tmp_path / "empty", 2, species=2, per_species=2, size=64)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["empty", "new"]


@pytest.mark.parametrize("cameras", [1, 100])
def test_number_of_cameras(cameras: int, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match=f"--cameras {cameras}: choose 2 to 99"):
        draw_cameras(tmp_path / "traps", cameras)
