"""Files for others: MegaDetector's format, Camtrap DP, Darwin Core, sorted folders, sidecars."""

import csv
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import polars as pl
import pytest
from PIL import ExifTags, Image

from bestiary.ensemble.exchange.answers import Classifier
from bestiary.ensemble.exchange.outputs import Outputs
from bestiary.ensemble.exchange.sorting import safe_name
from bestiary.ensemble.prediction_table import TABLE_SCHEMA
from bestiary.errors import ArgumentError, DataError
from bestiary.run.fields import FIELD_SCHEMA
from bestiary.run.taxonomy import Taxonomy
from bestiary.storage.boxes import BoxFolder, checked_box, path_with_box
from bestiary.storage.files import StoredFolder

BOX = "0.1,0.2,0.3,0.4"
CORNERS = [0.1, 0.2, 0.3, 0.4]
TAXONOMY = Taxonomy(
    pl.DataFrame(
        {
            "label": ["fox", "lynx"],
            "genus": ["Vulpes", "Lynx"],
            "family": ["Canidae", "Felidae"],
            "scientificName": ["Vulpes vulpes", None],
        }
    )
)
CLASSIFIER = Classifier(
    "bestiary 1, run r", datetime(2026, 7, 1, 5, 3, 20, tzinfo=UTC), ["fox", "lynx"], TAXONOMY
)
PLACE = {"time": "2026-07-01T05:03:20+02:00", "site": "A", "lat": 47.5, "lon": 8.25}


def row(file: str, label: str = "lynx", **values: Any) -> dict[str, Any]:
    """A row of predictions of a box."""
    name = path_with_box(file, checked_box(CORNERS))
    answer = {"label": label, "confidence": 0.9, "label_2": "fox", "confidence_2": 0.1}
    flags = {"accepted": True, "unknown": False, "prediction_set": label}
    place = {"image": file, "box": BOX, "detection": 0.8, **PLACE}
    return {"path": name, **answer, **flags, **place, **values}


def predictions(*rows: dict[str, Any]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=TABLE_SCHEMA | FIELD_SCHEMA)


ROWS = predictions(
    row("s/1.jpg"),
    row("s/2.jpg", accepted=False),
    row("s/3.jpg", "fox", accepted=False, unknown=True, site="B"),
    {"path": "s/4.jpg", "image": "s/4.jpg", "label": "empty", **PLACE},
    {"path": "s/5.jpg", "error": "truncated", **PLACE},
)


@pytest.fixture
def root(tmp_path: Path) -> BoxFolder:
    folder = tmp_path / "images"
    (folder / "s").mkdir(parents=True)
    for number in range(1, 6):
        (folder / f"s/{number}.jpg").write_bytes(b"image")
    return BoxFolder(folder)


def write(root: Any, table: pl.DataFrame = ROWS, boxes: Path | None = None, **asked: Any) -> Any:
    return Outputs(**asked).write(table, root, CLASSIFIER, boxes)


def timelapse(root: BoxFolder, file: Path, boxes: Path | None = None) -> dict[str, Any]:
    write(root, boxes=boxes, timelapse=file)
    content: dict[str, Any] = json.loads(file.read_text())
    return content


def test_boxes_have_their_classes(root: BoxFolder, tmp_path: Path) -> None:
    content = timelapse(root, tmp_path / "t.json")
    assert content["classification_categories"] == {"1": "fox", "2": "lynx", "3": "unclassified"}
    assert content["classification_category_descriptions"]["1"].endswith("vulpes;vulpes vulpes")
    assert content["info"]["classifier"] == "bestiary 1, run r"
    assert content["info"]["classification_completion_time"] == "2026-07-01 05:03:20"
    first, second, _, empty, failed = content["images"]
    sure = {"category": "1", "conf": 0.8, "bbox": CORNERS}
    sure["classifications"] = [["2", 0.9], ["1", 0.1]]
    assert first == {"file": "s/1.jpg", "detections": [sure]}
    assert second["detections"][0]["classifications"][:2] == [["3", 0.9], ["2", 0.9]]
    assert empty == {"file": "s/4.jpg", "detections": []}
    assert failed == {"file": "s/5.jpg", "failure": "truncated", "detections": None}


def test_all_that_the_detector_said_is_kept(root: BoxFolder, tmp_path: Path) -> None:
    person = {"category": "2", "conf": 1, "bbox": [0, 0, 0.5, 0.5]}
    animal = {"category": "1", "conf": 0.8, "bbox": CORNERS, "note": "kept"}
    source = tmp_path / "found.json"
    source.write_text(
        json.dumps(
            {
                "images": [
                    {"file": "s\\1.jpg", "detections": [person, animal], "custom": 1},
                    {"file": "s/9.jpg", "detections": [], "failure": None},
                ],
                "detection_categories": {"1": "animal", "2": "person"},
                "info": {"format_version": "1.5", "detector": "md"},
            }
        )
    )
    content = timelapse(root, tmp_path / "t.json", source)
    classified = animal | {"classifications": [["2", 0.9], ["1", 0.1]]}
    assert content["images"] == [
        {"file": "s\\1.jpg", "detections": [person, classified], "custom": 1},
        {"file": "s/9.jpg", "detections": [], "failure": None},
    ]
    assert isinstance(content["images"][0]["detections"][0]["conf"], float)
    assert content["info"]["format_version"] == "1.5"
    assert content["info"]["detector"] == "md"
    assert content["detection_categories"] == {"1": "animal", "2": "person"}


def test_the_formats_own_validator_accepts_it(root: BoxFolder, tmp_path: Path) -> None:
    validator = pytest.importorskip("megadetector.postprocessing.validate_batch_results")
    timelapse(root, tmp_path / "t.json")
    found = validator.validate_batch_results(str(tmp_path / "t.json"))["validation_results"]
    assert (found["errors"], found["warnings"]) == ([], [])
    assert dict(found["classification_category_id_to_count"]) == {"1": 4, "2": 2, "3": 2}


def rows_of(file: Path) -> list[dict[str, str]]:
    with file.open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_camtrap_dp_has_its_three_tables(root: BoxFolder, tmp_path: Path) -> None:
    lines = write(root, camtrap_dp=tmp_path / "dp")
    assert lines[0].startswith("Camtrap DP: ")
    deployments = rows_of(tmp_path / "dp/deployments.csv")
    assert [one["deploymentID"] for one in deployments] == ["A", "B"]
    assert deployments[0]["deploymentStart"] == "2026-07-01T05:03:20+02:00"
    media = rows_of(tmp_path / "dp/media.csv")
    assert [one["mediaID"] for one in media] == ["s/1.jpg", "s/2.jpg", "s/3.jpg", "s/4.jpg"]
    assert media[0]["fileMediatype"] == "image/jpeg"

    sure, unsure, unknown, blank = rows_of(tmp_path / "dp/observations.csv")
    assert (sure["observationType"], sure["scientificName"]) == ("animal", "lynx")
    assert (sure["bboxX"], sure["bboxHeight"]) == ("0.1", "0.4")
    assert sure["classificationMethod"] == "machine"
    assert sure["classifiedBy"] == "bestiary 1, run r"
    assert sure["classificationTimestamp"] == "2026-07-01T05:03:20Z"
    assert sure["classificationProbability"] == "0.9"
    assert (unsure["observationType"], unsure["scientificName"]) == ("unclassified", "")
    assert unsure["observationComments"] == "most probable: lynx"
    assert unknown["observationType"] == "unclassified"
    assert (blank["observationType"], blank["classificationProbability"]) == ("blank", "")
    package = json.loads((tmp_path / "dp/datapackage.json").read_text())
    assert package["taxonomic"] == [
        {"scientificName": "lynx", "genus": "Lynx", "family": "Felidae"}
    ]
    assert package["temporal"] == {"start": "2026-07-01", "end": "2026-07-01"}


TIME = {"type": "datetime", "format": "%Y-%m-%dT%H:%M:%S%z", "constraints": {"required": True}}
KEY = {"type": "string", "constraints": {"required": True, "unique": True}}
REQUIRED = {"type": "string", "constraints": {"required": True}}
SHARE = {"type": "number", "constraints": {"minimum": 0, "maximum": 1}}
TYPES = ["animal", "human", "vehicle", "blank", "unknown", "unclassified"]
FIELDS: dict[str, dict[str, Any]] = {
    "deployments": {
        "deploymentID": KEY,
        "latitude": {"type": "number", "constraints": {"required": True, "minimum": -90}},
        "longitude": {"type": "number", "constraints": {"required": True, "minimum": -180}},
        "deploymentStart": TIME,
        "deploymentEnd": TIME,
    },
    "media": {
        "mediaID": KEY,
        "deploymentID": REQUIRED,
        "timestamp": TIME,
        "filePath": REQUIRED,
        "filePublic": {"type": "boolean", "constraints": {"required": True}},
        "fileMediatype": {"type": "string", "constraints": {"pattern": "^image/.*$"}},
    },
    "observations": {
        "observationID": KEY,
        "deploymentID": REQUIRED,
        "eventStart": TIME,
        "eventEnd": TIME,
        "observationLevel": {"type": "string", "constraints": {"enum": ["media", "event"]}},
        "observationType": {"type": "string", "constraints": {"enum": TYPES}},
        "bboxX": SHARE,
        "bboxWidth": SHARE,
        "classificationMethod": {"type": "string", "constraints": {"enum": ["machine"]}},
        "classificationProbability": SHARE,
    },
}
"""What Camtrap DP 1.0.2 demands of the columns that bestiary fills."""


def test_frictionless_finds_the_package_valid(root: BoxFolder, tmp_path: Path) -> None:
    frictionless = pytest.importorskip("frictionless")
    write(root, camtrap_dp=tmp_path / "dp")
    package = json.loads((tmp_path / "dp/datapackage.json").read_text())
    del package["profile"]  # an address, and tests read nothing from the network
    deployment = {"resource": "deployments", "fields": "deploymentID"}
    for resource in package["resources"]:
        del resource["profile"]
        known = FIELDS[resource["name"]]
        with (tmp_path / f"dp/{resource['name']}.csv").open() as stream:
            names = next(csv.reader(stream))
        fields = [{"name": name, **known.get(name, {"type": "any"})} for name in names]
        resource["schema"] = {"fields": fields}
        if resource["name"] != "deployments":
            key = {"fields": "deploymentID", "reference": deployment}
            resource["schema"]["foreignKeys"] = [key]
    (tmp_path / "dp/check.json").write_text(json.dumps(package))
    report = frictionless.validate(str(tmp_path / "dp/check.json"))
    assert report.valid, report.flatten(["rowNumber", "fieldName", "note"])


def test_times_without_zone_are_said(root: BoxFolder, tmp_path: Path) -> None:
    table = predictions(
        row("s/1.jpg", time="2026-07-01T05:03:20.5"),
        row("s/2.jpg", time="2026-07-01"),
        row("s/3.jpg", lat=None, lon=None),
    )
    lines = write(root, table, camtrap_dp=tmp_path / "dp")
    assert lines[:2] == [
        "Camtrap DP: 2 images without a time or a position left out",
        "Camtrap DP: 1 time has no zone and is written as UTC; give it in the column time, such "
        "as 2026-07-01 05:03:20+02:00",
    ]
    assert rows_of(tmp_path / "dp/media.csv")[0]["timestamp"] == "2026-07-01T05:03:20Z"
    with pytest.raises(DataError, match="no image has a time and a position"):
        write(root, ROWS.drop("time"), camtrap_dp=tmp_path / "dp")


def test_a_deployment_is_one_camera_at_one_site(root: BoxFolder, tmp_path: Path) -> None:
    table = predictions(
        row("s/1.jpg", site="A", camera="left"),
        row("s/2.jpg", site="A", camera="right", lat=4.25),
        row("s/3.jpg", site="A", camera="right"),
        row("s/4.jpg", site="B", camera="left"),
        row("s/5.jpg", site="A", camera=None),
        row("s/6.jpg", site=None, camera="left"),
    )
    lines = write(root, table, camtrap_dp=tmp_path / "dp")
    assert lines[:2] == [
        "Camtrap DP: 1 site has several cameras; each is a deployment",
        "Camtrap DP: 1 deployment has several positions; that of its first image is written",
    ]
    deployments = rows_of(tmp_path / "dp/deployments.csv")
    names = [(one["deploymentID"], one["locationID"], one["cameraID"]) for one in deployments]
    assert names == [
        ("A", "A", ""),
        ("A, left", "A", "left"),
        ("A, right", "A", "right"),
        ("B", "B", "left"),
        ("left", "left", "left"),
    ]
    media = rows_of(tmp_path / "dp/media.csv")
    assert [one["deploymentID"] for one in media][:3] == ["A, left", "A, right", "A, right"]


def test_exif_gives_time_and_position(root: BoxFolder, tmp_path: Path) -> None:
    exif = Image.Exif()
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2026:07:01 05:03:20"
    details[ExifTags.Base.OffsetTimeOriginal] = "-03:00"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitude] = (10.0, 30.0, 0.0)
    place[ExifTags.GPS.GPSLatitudeRef] = "N"
    place[ExifTags.GPS.GPSLongitude] = (20.0, 0.0, 0.0)
    place[ExifTags.GPS.GPSLongitudeRef] = "W"
    Image.new("RGB", (32, 32)).save(tmp_path / "images/s/1.jpg", exif=exif)
    table = ROWS.drop("time", "lat", "lon").filter(pl.col("image") == "s/1.jpg")
    write(root, table, camtrap_dp=tmp_path / "dp", darwin_core=tmp_path / "d.csv")
    assert rows_of(tmp_path / "dp/media.csv")[0]["timestamp"] == "2026-07-01T05:03:20-03:00"
    assert rows_of(tmp_path / "d.csv")[0]["decimalLongitude"] == "-20.0"


def test_darwin_core_has_one_row_an_animal(root: BoxFolder, tmp_path: Path) -> None:
    write(root, darwin_core=tmp_path / "d.csv")
    sure, unsure, _ = rows_of(tmp_path / "d.csv")
    assert sure["basisOfRecord"] == "MachineObservation"
    assert (sure["scientificName"], sure["family"]) == ("lynx", "Felidae")
    assert (sure["eventDate"], sure["locationID"]) == ("2026-07-01T05:03:20+02:00", "A")
    assert sure["identifiedBy"] == "bestiary 1, run r"
    assert json.loads(sure["dynamicProperties"])["classificationProbability"] == 0.9
    assert (unsure["scientificName"], unsure["family"]) == ("", "")
    assert unsure["identificationVerificationStatus"] == "unclassified"


@pytest.mark.parametrize("copies", [False, True])
def test_images_are_sorted_by_class_and_certainty(
    root: BoxFolder, tmp_path: Path, copies: bool
) -> None:
    lines = write(root, sort=tmp_path / "sorted", copies=copies)
    assert "1 sure, 1 not sure, 1 unknown, 1 empty" in lines[0]
    placed = sorted(
        str(file.relative_to(tmp_path / "sorted"))
        for file in (tmp_path / "sorted").rglob("*")
        if not file.is_dir()
    )
    assert placed == [
        "empty/s/4.jpg",
        "not sure/lynx/s/2.jpg",
        "sure/lynx/s/1.jpg",
        "unknown/s/3.jpg",
    ]
    file = tmp_path / "sorted/sure/lynx/s/1.jpg"
    assert file.is_symlink() != copies
    assert file.read_bytes() == b"image"


def test_a_folder_that_does_not_fit_is_refused(root: BoxFolder, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full/file").touch()
    for folder, reason in [("full", "not empty"), ("images/sorted", "lies in the folder")]:
        with pytest.raises(ArgumentError, match=reason):
            Outputs(sort=tmp_path / folder).check_root(root)
    stored = StoredFolder("s3://bucket/images")
    for outputs in (Outputs(sort=tmp_path / "new"), Outputs(tag=True)):
        with pytest.raises(ArgumentError, match="in a store"):
            outputs.check_root(stored)


@pytest.mark.parametrize("name", ["../x", "a/b", "con:", "", "..", "x" * 300, "ä" * 100])
def test_names_of_classes_are_safe_folders(name: str, tmp_path: Path) -> None:
    folder = tmp_path / safe_name(name)
    folder.mkdir()
    assert folder.parent == tmp_path
    assert len(folder.name.encode()) <= 120


def test_sidecars_have_keywords_and_images_stay(root: BoxFolder, tmp_path: Path) -> None:
    folder = tmp_path / "images/s"
    (folder / "2.jpg.xmp").write_text("<other/>")
    before = {file: file.read_bytes() for file in folder.glob("*.jpg")}
    two = pl.concat([ROWS, predictions(row("s/1.jpg", "fox", path="x"))])
    lines = write(root, two, tag=True)
    assert lines == [
        "Tagged: 3 sidecars (.xmp) next to the images",
        "1 sidecars of other programs are left as they are",
    ]
    assert {file: file.read_bytes() for file in folder.glob("*.jpg")} == before
    assert (folder / "2.jpg.xmp").read_text() == "<other/>"
    words = [
        element.text
        for element in ElementTree.parse(folder / "1.jpg.xmp").iter()
        if element.tag.endswith("}li")
    ]
    assert {"lynx", "fox", "Felidae", "animal|Canidae|Vulpes|fox"} <= set(words)
    assert write(root, two, tag=True)[0].startswith("Tagged: 3")  # its own are written again


def test_options_that_cannot_be_meant_are_refused() -> None:
    for outputs, reason in [
        (Outputs(timelapse=Path("t.csv")), "--timelapse t.csv: must be the name of a .json file"),
        (Outputs(darwin_core=Path("t.json")), "--darwin-core"),
        (Outputs(copies=True), "--copy: says how --sort"),
    ]:
        with pytest.raises(ArgumentError, match=reason):
            outputs.check()
