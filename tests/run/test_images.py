"""The images of a run: only those that it was trained on, as they were; others are counted."""

import hashlib
from pathlib import Path

import polars as pl
import pytest

from bestiary.data.decode import read_image
from bestiary.errors import ImageError
from bestiary.run.images import RunImages, UnknownRoot


@pytest.fixture
def images(tmp_path: Path) -> RunImages:
    """Two images, b.jpg and a.jpg, in the order of a stranger's manifest."""
    digests = []
    for name in ("b.jpg", "a.jpg"):
        (tmp_path / name).write_bytes(name.encode())
        digests.append(hashlib.sha256(name.encode()).hexdigest())
    manifest = pl.DataFrame({"path": ["b.jpg", "a.jpg"], "sha256": digests})
    return RunImages(tmp_path, manifest)


def test_unchanged_images_are_read(images: RunImages) -> None:
    assert read_image(images / "a.jpg") == b"a.jpg"
    assert read_image(images / "b.jpg") == b"b.jpg"
    assert images.notice == ""


def test_changed_image_is_refused_and_counted(images: RunImages, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(b"another")
    with pytest.raises(ImageError, match="has changed since the run was begun"):
        read_image(images / "a.jpg")
    assert "1 have changed since the run was begun" in images.notice


def test_missing_image_is_counted(images: RunImages, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").unlink()
    with pytest.raises(ImageError):
        read_image(images / "a.jpg")
    assert images.notice == f"{tmp_path}: images of the run are left out: 1 cannot be read"


def test_file_that_is_no_image_of_the_run_is_refused(images: RunImages, tmp_path: Path) -> None:
    (tmp_path / "c.jpg").write_bytes(b"private")
    with pytest.raises(ImageError):
        read_image(images / "c.jpg")


def test_unknown_folder_names_the_option(images: RunImages) -> None:
    manifest = pl.DataFrame({"path": ["a.jpg"], "sha256": ["0"]})
    unknown = RunImages(UnknownRoot(), manifest)
    assert unknown.notice == "", "nobody has asked for an image"
    with pytest.raises(ImageError):
        read_image(unknown / "a.jpg")
    assert "--data FOLDER" in unknown.notice
