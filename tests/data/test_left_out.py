"""What is left out: counts that add up to the files on the disk, and classes that end up empty."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_pillow

from bestiary.data.audit import Audit, audit_images
from bestiary.data.decode import Pixels
from bestiary.data.left_out import count_files
from bestiary.data.listing import list_labeled
from bestiary.display import Display

Save = Callable[..., Path]
Scene = Callable[..., Pixels]


@pytest.fixture
def data(save: Save, scene: Scene, tmp_path: Path) -> Path:
    """A dataset with a file of each kind that is left out, and of each that is not."""
    folder = tmp_path / "data"
    for number in range(3):
        save(f"train/cat/{number}.jpg", scene(number))
        save(f"train/dog/{number}.png", scene(10 + number))
        save(f"test/cat/{number}.webp", scene(20 + number))
    image = Image.fromarray(scene(30))
    from_pillow(image).save(folder / "train/cat/phone.heic")
    image = Image.fromarray(scene(31))
    image.save(folder / "train/cat/new.avif")
    image = Image.fromarray(scene(32))
    image.save(folder / "train/dog/old.jp2")
    (folder / "train/dog/no_suffix").write_bytes((folder / "train/cat/0.jpg").read_bytes())

    for name, content in {
        "train/cat/cut.jpg": (folder / "train/cat/1.jpg").read_bytes()[:900],
        "train/cat/empty.jpg": b"",
        "train/cat/page.jpg": b"<html></html>",
        "train/cat/photo.nef": b"MM\0*",
        "train/cat/layers.psd": b"8BPS",
        "train/fox/a.cr2": b"II*\0",
        "train/owl/a.jpg": b"not an image",
        "train/owl/b.jpg": b"not an image",
        "train/loose.jpg": (folder / "train/cat/1.jpg").read_bytes(),
        "root.png": (folder / "train/dog/1.png").read_bytes(),
        "train/cat/notes.txt": b"words",
        "labels.csv": b"path,label\n",
        "README": b"words",
        ".git/objects/ab/cd": b"x",
        "train/cat/.hidden.jpg": b"x",
        "train/.ipynb_checkpoints/1.jpg": b"x",
        "__MACOSX/train/cat/._0.jpg": b"x",
    }.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    (folder / "train" / "elk").mkdir()
    return folder


@pytest.fixture
def audit(data: Path) -> Audit:
    return audit_images(list_labeled(data), Display(quiet=True))


def test_counts_add_up_to_the_files_that_find_sees(data: Path, audit: Audit) -> None:
    found = subprocess.run(
        ["find", str(data), "-type", "f"], capture_output=True, text=True, check=True
    )
    n_files = len(found.stdout.splitlines())
    n_ignored = sum(audit.manifest.ignored.values())
    assert audit.images.height + audit.quarantine.height + n_ignored == n_files
    assert audit.lines()[0].startswith(f"Files: {n_files} = 10 images + 3 of the test split + ")


def test_every_image_has_its_row_or_its_reason(audit: Audit) -> None:
    assert {"train/cat/phone.heic", "train/cat/new.avif", "train/dog/old.jp2"} <= set(
        audit.manifest.table["path"]
    )
    assert "train/dog/no_suffix" in set(audit.manifest.table["path"])
    reasons = dict(audit.quarantine.rows())
    assert reasons["train/cat/photo.nef"] == "a camera's raw file: convert it to PNG or JPEG"
    assert reasons["train/cat/layers.psd"] == "a Photoshop file: convert it to PNG or JPEG"
    assert reasons["train/loose.jpg"] == reasons["root.png"] == "in no class folder"
    assert reasons["train/cat/page.jpg"] == "not an image (a web page)"
    assert reasons["train/cat/empty.jpg"] == "empty file"
    assert audit.manifest.ignored == {
        "hidden": 4,
        "of other kinds (1 .csv, 1 .txt, 1 no suffix)": 3,
    }


def test_a_class_that_ends_up_empty_is_named(audit: Audit) -> None:
    assert audit.manifest.empty_classes == {
        "elk": "empty",
        "fox": "1 image, none of which can be read",
        "owl": "2 images, none of which can be read",
    }
    line = next(line for line in audit.lines() if line.startswith("No images"))
    assert "'owl'" in line and "'fox'" in line and "'elk'" in line


def test_ignored_files_alone_are_no_problem(save: Save, scene: Scene, tmp_path: Path) -> None:
    for number in range(12):
        save(f"cat/{number}.png", scene(number))
        save(f"dog/{number}.png", scene(100 + number))
    clean = audit_images(list_labeled(tmp_path / "data"), Display(quiet=True))
    assert clean.lines() == [] and "No problems found" in str(clean)
    save("notes.txt", b"words")
    noted = audit_images(list_labeled(tmp_path / "data"), Display(quiet=True))
    assert "1 ignored (1 of other kinds (1 .txt))" in str(noted)
    assert "No problems found" in str(noted) and noted.exit_code == 0


def test_an_ignored_file_hides_no_damaged_one(save: Save, scene: Scene, tmp_path: Path) -> None:
    for number in range(12):
        save(f"cat/{number}.png", scene(number))
        save(f"dog/{number}.png", scene(100 + number))
    save("notes.txt", b"words")
    save("dog/bad.png", b"no image")
    audit = audit_images(list_labeled(tmp_path / "data"), Display(quiet=True))
    assert audit.exit_code == 1
    assert "No problems found" not in str(audit)


def test_the_line_of_counts() -> None:
    assert count_files({"images": 3}, [], {}) == []
    assert count_files({"images": 1200}, ["truncated", "a: b", "a: c"], {"hidden": 1}) == [
        "Files: 1,204 = 1,200 images + 3 unusable (2 a, 1 truncated) + 1 ignored (1 hidden)"
    ]


def test_deep_images_name_what_is_assumed(save: Save, tmp_path: Path) -> None:
    ramp = np.tile(np.linspace(0, 4095, 256), (64, 1)).astype(np.uint16)
    for label in ("cat", "dog"):
        for number in range(2):
            save(f"{label}/{number}.png", np.roll(ramp, 50 * number + len(label), axis=1))
    audited = audit_images(list_labeled(tmp_path / "data"), Display(quiet=True))
    line = next(line for line in audited.lines() if line.startswith("More than 8 bits"))
    assert "4 images" in line and "4095" in line and "view.white_level" in line
    assert not any("More than" in line for line in audited.with_stated_white().lines())
