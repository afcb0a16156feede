"""Boxes of a detector or of a table as samples: labels, groups, empty images, other paths."""

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bestiary.data.audit import audit_images
from bestiary.data.folds import leak_groups
from bestiary.data.listing import list_images, list_labeled, root_of
from bestiary.data.listing_types import Listing
from bestiary.display import Display
from bestiary.errors import DataError
from bestiary.recipe.sections import DataOptions
from bestiary.storage.boxes import BoxFolder

FIRST = [0.1, 0.2, 0.3, 0.4]
SECOND = [0.5, 0.5, 0.5, 0.5]
NAME_1 = "#xywh=percent:10,20,30,40"
NAME_2 = "#xywh=percent:50,50,50,50"


def image(file: str, *boxes: tuple[list[float], float]) -> dict[str, Any]:
    found = [{"category": "1", "conf": conf, "bbox": bbox} for bbox, conf in boxes]
    return {"file": file, "detections": found}


def write(file: Path, *images: dict[str, Any]) -> Path:
    categories = {"1": "animal", "2": "person"}
    info = {"format_version": "1.5"}
    content = {"info": info, "detection_categories": categories, "images": images}
    file.write_text(json.dumps(content))
    return file


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four images in two class folders, with two boxes in the first, one in the second."""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    for number, path in enumerate(["a/1.png", "a/2.png", "b/3.png", "b/4.png"]):
        file = tmp_path / "data" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        noise = Image.effect_noise((200, 100), 90)
        noise.putpixel((0, 0), number)
        noise.convert("RGB").save(file)
    write(
        tmp_path / "found.json",
        image("a/1.png", (FIRST, 0.9), (SECOND, 0.5)),
        image("b/3.png", (FIRST, 0.8), (SECOND, 0.1)),
        image("b/4.png", (FIRST, 0.1)),
    )
    return tmp_path / "data"


def boxed(data: Path, **options: Any) -> Listing:
    file = str(data.parent / "found.json")
    return list_labeled(data, DataOptions(boxes=file, **options))


def test_each_box_of_a_folder_is_a_sample(data: Path) -> None:
    listing = boxed(data)
    assert listing.root == BoxFolder(data)
    columns = ["path", "label", "group", "image", "box", "detection"]
    assert listing.table.select(columns).rows() == [
        (f"a/1.png{NAME_1}", "a", "a/1.png", "a/1.png", "0.1,0.2,0.3,0.4", 0.9),
        (f"a/1.png{NAME_2}", "a", "a/1.png", "a/1.png", "0.5,0.5,0.5,0.5", 0.5),
        (f"b/3.png{NAME_1}", "b", "b/3.png", "b/3.png", "0.1,0.2,0.3,0.4", 0.8),
    ]
    assert listing.unusable == [("a/2.png", "is not in the file of boxes")]
    assert listing.empty["path"].to_list() == ["b/4.png"]
    assert listing.notes[1:] == [
        "Boxes: 3 of MegaDetector in 2 images are the samples; those of one image stay in one fold",
        "Empty: 1 image has no box of confidence 0.2 or more (data.box_confidence)",
    ]


def test_the_confidence_is_the_users(data: Path) -> None:
    assert boxed(data, box_confidence=0.05).table.height == 5
    with pytest.raises(DataError, match="one class only"):
        boxed(data, box_confidence=0.85)


def test_a_file_of_boxes_is_a_dataset_by_its_folders(data: Path) -> None:
    listing = list_labeled(data.parent / "found.json", DataOptions(root=str(data)))
    assert listing.table["label"].to_list() == ["a", "a", "b"]
    assert root_of(data.parent / "found.json", str(data)) == str(data)


def test_a_table_gives_labels_and_groups(data: Path) -> None:
    table = data / "t.csv"
    table.write_text("path,label,group,observer\na/1.png,x,g,Ada\nb/3.png,y,g,Bo\na/2.png,x,,Cy\n")
    listing = list_labeled(table, DataOptions(boxes=str(data.parent / "found.json")))
    assert listing.table.select("label", "group", "observer").rows() == [
        ("x", "g", "Ada"),
        ("x", "g", "Ada"),
        ("y", "g", "Bo"),
    ]


def test_images_to_predict_need_no_label(data: Path) -> None:
    listing = list_images(data.parent / "found.json", DataOptions(root=str(data)))
    assert listing.table["path"].to_list() == [
        f"a/1.png{NAME_1}",
        f"a/1.png{NAME_2}",
        f"b/3.png{NAME_1}",
    ]
    assert listing.table["label"].null_count() == 3
    assert listing.empty["path"].to_list() == ["b/4.png"]


def test_boxes_of_other_images_are_refused(data: Path) -> None:
    write(data.parent / "found.json", image("elsewhere/1.png", (FIRST, 0.9)))
    with pytest.raises(DataError, match=r"none of the 4 images, such as 'a/1.png'.*data.root"):
        boxed(data)


@pytest.mark.parametrize("path", ["../secret.png", "/etc/secret.png", "C:\\secret.png"])
def test_paths_that_leave_the_folder_are_refused(data: Path, path: str) -> None:
    write(data.parent / "found.json", image(path, (FIRST, 0.9)))
    with pytest.raises(DataError, match="leads out of"):
        boxed(data)


def test_absolute_paths_and_backslashes_are_read(data: Path) -> None:
    write(
        data.parent / "found.json",
        image(str(data / "a/1.png"), (FIRST, 0.9)),
        image("b\\3.png", (FIRST, 0.9)),
    )
    assert boxed(data).table["image"].to_list() == ["a/1.png", "b/3.png"]


def test_a_missing_file_of_boxes_is_named(data: Path) -> None:
    with pytest.raises(DataError, match=r"data.boxes = gone.json: no such file"):
        list_labeled(data, DataOptions(boxes="gone.json"))


def test_samples_are_crops_in_one_group(data: Path) -> None:
    audit = audit_images(boxed(data), Display(quiet=True))
    table = audit.manifest.table
    assert table.select("height", "width").rows() == [(72, 72), (100, 120), (72, 72)]
    assert table["sha256"].n_unique() == 3
    assert table["warning"].null_count() == 3
    groups = leak_groups(table)
    assert groups[0] == groups[1] != groups[2]


def test_boxes_of_a_table_are_shares_or_pixels(data: Path) -> None:
    table = data / "t.csv"
    table.write_text(
        "path,label,box\n"
        'a/1.png,a,"[20, 20, 60, 40]"\n'
        "a/1.png,a,100 50 100 50\n"
        'b/3.png,b,"20,20,60,40"\n'
        "b/4.png,b,190 0 20 10\n"
        "b/4.png,b,1 2 x 4\n"
        "a/2.png,a,\n"
    )
    listing = list_labeled(table)
    assert listing.table["path"].to_list() == [
        f"a/1.png{NAME_1}",
        f"a/1.png{NAME_2}",
        "a/2.png",
        f"b/3.png{NAME_1}",
    ]
    assert listing.unusable == [("b/4.png", "box 0.95,0,0.1,0.1 lies outside of the image")]
    assert "Boxes: the column box is read as x, y, width, height in pixels" in listing.notes

    table.write_text(f"path,label,box\na/1.png,a,{' '.join(map(str, FIRST))}\nb/3.png,b,0 0 1 1\n")
    shares = list_labeled(table)
    assert shares.table["path"][0] == f"a/1.png{NAME_1}"
    assert "in shares of the image" in shares.notes[-1]


def test_names_of_boxes_in_a_table_are_boxes(data: Path) -> None:
    listing = boxed(data)
    table = data / "reviewed.csv"
    rows = [f'"{path}",{label}' for path, label in listing.table.select("path", "label").rows()]
    table.write_text("\n".join(["path,label", *rows]) + "\n")
    again = list_labeled(table)
    columns = ["path", "label", "group", "image", "box"]
    assert again.table.select(columns).rows() == listing.table.select(columns).rows()


def test_images_named_in_two_ways_are_one(data: Path) -> None:
    write(
        data.parent / "found.json",
        image("a\\1.png", (FIRST, 0.9)),
        image("./a//1.png", (SECOND, 0.9), (FIRST, 0.8)),
        image("b/./3.png", (FIRST, 0.9)),
        {"file": "b\\4.png", "failure": "image access", "detections": None},
    )
    listing = boxed(data)
    assert listing.table["path"].to_list() == [
        f"a/1.png{NAME_1}",
        f"a/1.png{NAME_2}",
        f"b/3.png{NAME_1}",
    ]
    assert listing.unusable == [
        ("a/2.png", "is not in the file of boxes"),
        ("b/4.png", "the detector could not read it (image access)"),
    ]


def test_times_of_a_file_of_boxes_are_counted(data: Path) -> None:
    write(
        data.parent / "found.json",
        image("a/1.png", (FIRST, 0.9)) | {"datetime": "2026:07:01 05:03:20"},
        image("b/3.png", (FIRST, 0.9)) | {"datetime": "01/07/2026 5 PM"},
    )
    listing = boxed(data)
    assert listing.table["time"].to_list() == ["2026-07-01T05:03:20", None]
    assert any("Times: 1 cannot be read, such as '01/07/2026 5 PM'" in one for one in listing.notes)


def test_sequences_of_a_file_are_events(data: Path) -> None:
    boxes = [{"image_id": n, "category_id": 1, "bbox": [20, 20, 60, 40]} for n in (1, 2)]
    size = {"width": 200, "height": 100, "seq_id": "s1"}
    images = [{"id": 1, "file_name": "a/1.png"}, {"id": 2, "file_name": "b/3.png"}]
    content = {
        "images": [one | size for one in images],
        "annotations": boxes,
        "categories": [{"id": 1, "name": "animal"}],
    }
    (data.parent / "found.json").write_text(json.dumps(content))
    assert boxed(data).table["event"].to_list() == ["s1", "s1"]


def test_a_class_without_boxes_says_why(data: Path) -> None:
    write(data.parent / "found.json", image("a/1.png", (FIRST, 0.9)), image("b/3.png", (FIRST, 7)))
    with pytest.raises(DataError, match=r"one class only.*of 1 image: the confidence"):
        boxed(data)


def test_a_box_in_the_other_unit_is_refused(data: Path) -> None:
    table = data / "t.csv"
    rows = "a/1.png,a,20 20 60 40\na/2.png,a,20 20 60 40\nb/3.png,b,0 0 9 9\nb/4.png,b,0 0 1 1\n"
    table.write_text("path,label,box\n" + rows)
    assert list_labeled(table).unusable == [
        ("b/4.png", "a box has no value above 1, and most others are in pixels")
    ]
    rows = "a/1.png,a,0 0 1 1\na/1.png,b,0 0 1 1\nb/3.png,b,0 0 1 1.0004\nb/4.png,b,0 0 9 9\n"
    table.write_text("path,label,box\n" + rows)
    listing = list_labeled(table)
    assert listing.table["box"].to_list() == ["0,0,1,1", "0,0,1,1"]
    assert listing.unusable == [("b/4.png", "box 0,0,9,9 lies outside of the image")]
    assert listing.notes[-1] == "Boxes: 1 row repeats another one"
