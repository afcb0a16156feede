"""Files of detectors and labeling tools: each format, and what is wrong with them."""

import json
from pathlib import Path
from typing import Any

import pytest

from bestiary.data.detections import json_stream
from bestiary.data.detections.read import read_detections
from bestiary.data.detections.types import Detections
from bestiary.errors import DataError

CATEGORIES = {"1": "animal", "2": "person", "3": "vehicle"}


def read(tmp_path: Path, content: Any, confidence: float = 0.2) -> Detections:
    file = tmp_path / "found.json"
    text = content if isinstance(content, str) else json.dumps(content)
    file.write_text(text)
    return read_detections(file, confidence)


def megadetector(*images: dict[str, Any], version: object = "1.5") -> dict[str, Any]:
    return {
        "images": list(images),
        "detection_categories": CATEGORIES,
        "info": {"format_version": version},
    }


def detection(conf: object, bbox: object = (0.1, 0.2, 0.3, 0.4), category: str = "1") -> object:
    return {"category": category, "conf": conf, "bbox": bbox}


IMAGE = {"id": 1, "file_name": "a.jpg"}


def coco(**changed: object) -> dict[str, object]:
    categories = [{"id": 5, "name": "lynx"}]
    return {"images": [IMAGE], "annotations": [], "categories": categories} | changed


def test_animals_above_a_confidence_are_boxes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        megadetector(
            {"file": "a.jpg", "detections": [detection(0.9), detection(0.19), detection(1)]},
            {"file": "b.jpg", "detections": [detection(0.9, category="2")]},
            {"file": "c.jpg", "detections": []},
            {"file": "d.mp4", "detections": [], "frame_rate": 20},
            {"file": "e.jpg", "detections": None, "failure": "Failure image access"},
        ),
    )
    assert found.images["path"].to_list() == ["a.jpg", "b.jpg", "c.jpg"]
    assert found.boxes.rows() == [("a.jpg", "0.1,0.2,0.3,0.4", 0.9, None)]  # the same box twice
    assert found.unusable == [("e.jpg", "the detector could not read it (Failure image access)")]
    assert found.notes == [
        "Videos: 1 are left out; bestiary reads images",
        "Boxes: 1 of person are no samples",
    ]
    assert not found.has_labels


def test_a_box_that_is_none_has_its_reason(tmp_path: Path) -> None:
    bad = [[0.9, 0, 0.3, 0.4], [0, 0, 0, 0.4], [0, 0, float("nan"), 1], None, [0, 0, 1], "x"]
    images = [
        {"file": f"{n}.jpg", "detections": [detection(0.9, box)]} for n, box in enumerate(bad)
    ]
    images.append(
        {"file": "c.jpg", "detections": [detection(1.5), detection("x"), detection(None)]}
    )
    text = json.dumps(megadetector(*images)).replace("NaN", '"nan"')
    found = read(tmp_path, text)
    assert found.boxes.is_empty()
    assert [reason for _, reason in found.unusable] == [
        "box 0.9,0,0.3,0.4 lies outside of the image",
        "box 0,0,0,0.4 has no area",
        "box 0,0,nan,1 has a value that is no number",
        "a box is no list of 4 numbers",
        "a box has 4 numbers, not 3",
        "a box is no list of 4 numbers",
        "the confidence of a box is 1.5",
        "the confidence of a box is no number",
        "a box has no confidence",
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (megadetector(version="2.0"), "format_version 2.0"),
        ({"images": [], "detection_categories": {}}, "no detection_categories"),
        (megadetector({"detections": []}), "an image has no file"),
        ('{"detection_categories": {"1": "animal"}, "images": [{"file": "a.jpg", ', "whole JSON"),
        ('{"detection_categories": {"1": "animal"}, "images": [{"file": NaN}]}', "whole JSON"),
        ({"a": 1}, "no file of detections"),
        (coco(images=[IMAGE, IMAGE]), "two images have the id '1'"),
        (coco(annotations=[{"image_id": 1, "category_id": 9}]), "category '9', which"),
        (coco(annotations=[{"image_id": 7, "category_id": 5}]), "does not list"),
        ("", "no file of detections"),
        ("hello", "no file of detections"),
        ("[[1]]", "a task has no image"),
        ("<a/>", "lists no images"),
        ("<a>", "whole XML"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "document type"),
        ({"images": [], "annotations": [], "categories": []}, "lists no images"),
    ],
)
def test_a_wrong_file_is_refused_in_one_line(tmp_path: Path, content: object, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read(tmp_path, content)
    assert "\n" not in str(caught.value)


def test_what_a_detector_does_not_say_is_not_empty(tmp_path: Path) -> None:
    images = [
        {"file": "a.jpg"},
        {"file": "b.jpg", "detections": None},
        {"file": "c.jpg", "detections": [], "failure": {"code": 3}},
        {"file": "d.jpg", "detections": [{"conf": 10**400}, "x"]},
        {"file": "e.jpg", "detections": [detection(0.9, category="\ud800")]},
    ]
    found = read(tmp_path, megadetector(*images))
    assert found.images["path"].to_list() == ["d.jpg", "e.jpg"]
    assert found.unusable == [
        ("a.jpg", "the detector has no answer to it"),
        ("b.jpg", "the detector has no answer to it"),
        ("c.jpg", "the detector could not read it (it does not say why)"),
        ("d.jpg", "a detection is no object"),
    ]
    assert found.notes == ["Boxes: 2 of unknown categories are no samples"]


def test_categories_may_come_before_or_after(tmp_path: Path) -> None:
    content = megadetector({"file": "a.jpg", "detections": [detection(1), detection(1, None)]})
    for keys in (list(content), list(content)[::-1]):
        found = read(tmp_path, {key: content[key] for key in keys})
        assert found.boxes.rows() == [("a.jpg", "0.1,0.2,0.3,0.4", 1.0, None)]
        assert found.unusable == [("a.jpg", "a box is no list of 4 numbers")]


def test_words_between_two_parts_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "f.json"
    file.write_bytes(b"0123456789 word 0123456789 other")
    for size in range(1, 40):
        monkeypatch.setattr(json_stream, "PART_BYTES", size)
        found = json_stream.file_has(file, b"word", b"other")
        assert found or size < len("word")
        assert not json_stream.file_has(file, b"word", b"absent")


def test_coco_gives_boxes_in_pixels_with_classes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        {
            "images": [
                {"id": 1, "file_name": "a.jpg", "width": 200, "height": 100},
                {"id": 2, "file_name": "b.jpg"},
            ],
            "annotations": [
                {"id": 1, "image_id": 1, "category_id": 5, "bbox": [20, 10, 100, 50]},
                {"id": 2, "image_id": 2, "category_id": 5, "bbox": [20, 10, 100, 50]},
            ],
            "categories": [{"id": 5, "name": "lynx"}, {"id": 6, "name": "fox"}],
        },
    )
    assert found.boxes.rows() == [("a.jpg", "0.1,0.1,0.5,0.5", None, "lynx")]
    assert found.unusable == [
        ("b.jpg", "a box is in pixels, and the size of its image is not known")
    ]


def test_coco_camera_traps_gives_place_time_and_sequence(tmp_path: Path) -> None:
    image = {"file_name": "a.jpg", "location": 7, "datetime": "2026-07-01 05:03:20"}
    found = read(
        tmp_path,
        {
            "images": [{"id": "x", "seq_id": "s", **image}, {"id": "y", "file_name": "b.jpg"}],
            "annotations": [
                {"id": 1, "image_id": "x", "category_id": 5},
                {"id": 2, "image_id": "x", "category_id": 0},
                {"id": 3, "image_id": "y", "category_id": 0},
            ],
            "categories": [{"id": 0, "name": "empty"}, {"id": 5, "name": "lynx"}],
        },
    )
    assert found.images.rows() == [
        ("a.jpg", "lynx", "2026-07-01 05:03:20", "7", "s"),
        ("b.jpg", "empty", None, None, None),
    ]
    assert found.notes == ["Labels: 1 image has a second label, which is not used"]


def test_label_studio_gives_choices_and_rectangles(tmp_path: Path) -> None:
    def task(image: str, *results: dict[str, Any], canceled: bool = False) -> dict[str, Any]:
        annotation = {"result": [{"value": one} for one in results], "was_cancelled": canceled}
        return {"data": {"image": image}, "annotations": [annotation]}

    rectangle = {"x": 10, "y": 20, "width": 30, "height": 40, "rectanglelabels": ["fox"]}
    found = read(
        tmp_path,
        [
            task("/data/upload/3/0a1b2c3d-a.jpg", {"choices": ["lynx"]}),
            task("/data/local-files/?d=site/b.jpg", rectangle),
            task("https://host/c%20d.jpg", {"choices": ["fox", "lynx"]}),
            task("e.jpg", {"choices": ["fox"]}, canceled=True),
            {"image": "f.jpg", "choice": "lynx", "id": 1},
        ],
    )
    assert found.images.select("path", "label").rows() == [
        ("a.jpg", "lynx"),
        ("site/b.jpg", None),
        ("c d.jpg", "fox"),
        ("e.jpg", None),
        ("f.jpg", "lynx"),
    ]
    assert found.boxes.rows() == [("site/b.jpg", "0.1,0.2,0.3,0.4", None, "fox")]
    assert found.notes == [
        "Label Studio: 1 image has no label yet",
        "Labels: 1 image has several labels; the first is taken",
    ]


def test_cvat_gives_tags_and_boxes(tmp_path: Path) -> None:
    found = read(
        tmp_path,
        """<?xml version="1.0" encoding="utf-8"?>
        <annotations><version>1.1</version>
          <image id="0" name="a.jpg" width="200" height="100"><tag label="lynx"/></image>
          <image id="1" name="b.jpg" width="200" height="100">
            <box label="fox" xtl="20" ytl="10" xbr="120" ybr="60" occluded="0"/>
            <box label="fox" xtl="20" ytl="10" xbr="x" ybr="60"/>
          </image>
        </annotations>""",
    )
    assert found.images.select("path", "label").rows() == [("a.jpg", "lynx"), ("b.jpg", None)]
    assert found.boxes.rows() == [("b.jpg", "0.1,0.1,0.5,0.5", None, "fox")]
    assert "no number" in found.unusable[0][1]
