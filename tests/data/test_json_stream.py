"""JSON files, read part by part: the members that are asked for, and what is wrong with a file."""

import json
from pathlib import Path
from typing import Any

import pytest

from bestiary.data.detections import json_stream
from bestiary.data.detections.json_stream import json_items, json_members
from bestiary.errors import DataError

CONTENT = {
    "others": [{"a": [1, 2]}, "x"],
    "images": [{"file": 'ä\n\\"1.jpg', "detections": [[0.25, -1e-3]]}, None, 12.5, [], {}],
    "empty": [],
    "info": {"version": [1, 5], "n": 123456},
    "last": 123456,
}


@pytest.fixture(params=[1, 2, 3, 7, 64, 1 << 20])
def part(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(json_stream, "PART_BYTES", request.param)
    size: int = request.param
    return size


def write(tmp_path: Path, text: str) -> Path:
    file = tmp_path / "f.json"
    file.write_text(text, encoding="utf-8")
    return file


@pytest.mark.parametrize("indent", [None, 2])
def test_members_are_those_of_the_file(tmp_path: Path, part: int, indent: int | None) -> None:
    file = write(tmp_path, json.dumps(CONTENT, indent=indent, ensure_ascii=bool(indent)))
    asked = json_members(file, items=("images", "empty"), values=("info", "last"))
    images: list[tuple[str, Any]] = [("images", one) for one in CONTENT["images"]]  # type: ignore[attr-defined]
    assert list(asked) == [*images, ("info", CONTENT["info"]), ("last", 123456)]
    assert list(json_items(file, "others")) == CONTENT["others"]
    assert list(json_items(file, "absent")) == []


def test_a_file_may_be_a_list(tmp_path: Path, part: int) -> None:
    file = write(tmp_path, "\ufeff [1, 23, [4]]\n")
    assert list(json_items(file, "")) == [1, 23, [4]]
    assert list(json_items(file, "images")) == []


@pytest.mark.parametrize(
    "text",
    [
        '{"images": [1, 2',
        '{"images": [1, 2]',
        '{"images": [1 2]}',
        '{"images": [1,]}',
        '{"images": [tru]}',
        '{"images": ["\\ud8]}',
        '{"images": [1]} x',
        '{"images": [1]}}',
        '{"images" [1]}',
        "{1: [1]}",
        '{"images": [1],}',
        '{"images": [NaN]}',
        '{"images": [-Infinity]}',
        '{"images": [' + "[" * 100_000 + "]}",
        '{"images": [' + "9" * 5_000 + "]}",
        "",
        "12",
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, text: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(json_stream, "PART_BYTES", max(3, len(text) // 5))
    with pytest.raises(DataError, match="is not a whole JSON file") as caught:
        list(json_items(write(tmp_path, text), "images"))
    assert "\n" not in str(caught.value)


def test_lists_must_be_lists(tmp_path: Path) -> None:
    file = write(tmp_path, '{"images": {"a.jpg": []}}')
    with pytest.raises(DataError, match="its images are no list"):
        list(json_items(file, "images"))


def test_a_huge_item_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(json_stream, "PART_BYTES", 8)
    monkeypatch.setattr(json_stream, "MAX_ITEM_CHARACTERS", 100)
    many = write(tmp_path, json.dumps({"images": [[1] * 20] * 50}))
    assert len(list(json_items(many, "images"))) == 50
    with pytest.raises(DataError, match="more than 100 characters"):
        list(json_items(write(tmp_path, json.dumps({"images": [[1] * 200]})), "images"))


def test_half_characters_are_no_text() -> None:
    assert json_stream.text_of("a\ud800.jpg") is None
    assert json_stream.text_of(float("nan")) is None
    assert json_stream.text_of(" ä ") == "ä"
