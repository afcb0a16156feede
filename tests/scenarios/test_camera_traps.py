"""The whole way with drawn cameras: boxes and table, run by site, report, files for others."""

import csv
import json
from contextlib import suppress
from pathlib import Path

import polars as pl
import pytest

import bestiary
from bestiary.beasts.camera_sample import draw_cameras
from bestiary.ensemble.prediction_table import PredictionTable
from bestiary.errors import DataError
from bestiary.storage.boxes import split_path

pytestmark = pytest.mark.slow

OPTIONS = ["folds.n=2", "folds.by=site", "folds.rare_classes=keep", "data.box_confidence=0.3"]


@pytest.fixture(scope="module")
def traps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("field")
    draw_cameras(folder / "traps", 4, species=3, per_species=12, size=96)
    return folder / "traps"


@pytest.fixture(scope="module")
def run(traps: Path, tiny: Path) -> bestiary.Run:
    boxes = f"data.boxes={traps / 'detections.json'}"
    run = traps.parent / "run"
    return bestiary.train(
        traps / "images.csv", run, recipe=tiny, overrides=[*OPTIONS, boxes], quiet=True
    )


@pytest.fixture(scope="module")
def predicted(run: bestiary.Run, traps: Path) -> PredictionTable:
    out = traps.parent / "out"
    return bestiary.predict(
        run.path,
        traps / "images.csv",
        out=out / "p.csv",
        timelapse=out / "t.json",
        camtrap_dp=out / "dp",
        darwin_core=out / "d.csv",
        sort=out / "sorted",
        copy=True,
        tag=True,
        overrides=[f"data.boxes={traps / 'detections.json'}"],
        quiet=True,
    )


def test_whole_images_are_told(
    run: bestiary.Run, traps: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Drift and counts of whole images say little about a run of boxes."""
    with suppress(DataError):  # the run was trained on all of them
        bestiary.drift(run.path, traps / "images", quiet=True)
    assert "name the file of their boxes" in capsys.readouterr().err


def test_boxes_are_trained_on_by_site(run: bestiary.Run, traps: Path) -> None:
    snapshot = run.load()
    manifest = snapshot.manifest
    assert {"image", "box", "detection", "time", "site", "lat", "lon"} <= set(manifest.columns)
    assert all(split_path(path)[1] for path in manifest["path"])
    assert run.file("taxonomy.csv").is_file()
    joined = manifest.join(snapshot.fold_table, on="path")
    for key in ("site", "image"):
        assert joined.group_by(key).agg(pl.col("fold").n_unique())["fold"].max() == 1
    page = bestiary.report(run.path, quiet=True)
    assert "site" in Path(str(page).splitlines()[-1].rpartition(" (")[0]).read_text()


def test_every_box_has_its_answer(predicted: PredictionTable, traps: Path) -> None:
    table = predicted.table
    found = json.loads((traps / "detections.json").read_text())
    sure = [one for image in found["images"] for one in image["detections"] if one["conf"] >= 0.3]
    classified = table.filter(pl.col("confidence").is_not_null())
    assert classified.height == len(sure)
    empty = table.filter(pl.col("label") == "empty")
    assert empty.height + classified["image"].n_unique() == len(found["images"])
    assert table.select("time", "site").null_count().row(0) == (0, 0)


def test_timelapse_reads_the_answers(predicted: PredictionTable, traps: Path) -> None:
    file = traps.parent / "out/t.json"
    before = json.loads((traps / "detections.json").read_text())
    after = json.loads(file.read_text())
    assert [image["file"] for image in after["images"]] == [one["file"] for one in before["images"]]
    n_classified = 0
    for one, other in zip(before["images"], after["images"], strict=True):
        for found, answered in zip(one["detections"], other["detections"], strict=True):
            assert found.items() <= answered.items()
            n_classified += "classifications" in answered
    assert n_classified == predicted.table["confidence"].count()
    validator = pytest.importorskip("megadetector.postprocessing.validate_batch_results")
    assert not validator.validate_batch_results(str(file))["validation_results"]["errors"]


def test_the_files_for_others_agree(predicted: PredictionTable, traps: Path) -> None:
    out = traps.parent / "out"
    with (out / "dp/observations.csv").open(newline="") as stream:
        observations = list(csv.DictReader(stream))
    assert len(observations) == predicted.table.height
    with (out / "d.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == predicted.table["confidence"].count()
    copies = [file for file in (out / "sorted").rglob("*") if file.is_file()]
    originals = {file.read_bytes() for file in traps.rglob("*.jpg")}
    assert {file.read_bytes() for file in copies} == originals
    assert len(list(traps.rglob("*.xmp"))) == len(list(traps.rglob("*.jpg")))


def test_whole_images_are_told_from_boxes(
    run: bestiary.Run, traps: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bestiary.predict(run.path, traps / "images.csv", out=tmp_path / "p.csv")
    told = " ".join(capsys.readouterr().err.split())
    assert "This run was trained on boxes in images, and whole images are predicted" in told
