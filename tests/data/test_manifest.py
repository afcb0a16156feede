"""The manifest: true columns for every image, and a quarantine with reasons."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bestiary.data.listing import list_labeled
from bestiary.data.listing_types import Listing, listing_table
from bestiary.data.manifest import SCHEMA, natural_classes, read_manifest
from bestiary.errors import DataError

Encode = Callable[..., bytes]


@pytest.fixture
def folder(tmp_path: Path, encode: Encode) -> Path:
    """Five sound images of three classes and four files that cannot be decoded."""
    rng = np.random.default_rng(0)
    exif = Image.Exif()
    exif[0x0112] = 6
    noise = rng.integers(0, 255, (20, 30, 3), dtype=np.uint8)
    files = {
        "10/turned.jpg": encode(noise, exif=exif.tobytes()),
        "10/plain.jpg": encode(noise[:10]),
        "2/wide.png": encode(noise[:5], "PNG"),
        "2/same.png": encode(noise[:5], "PNG"),
        "été 1/x.WEBP": encode(noise, "WEBP"),
        "2/cut.jpg": encode(noise)[:-200],
        "2/empty.jpg": b"",
        "2/page.jpg": b"<html>404</html>",
        "10/noise.png": rng.bytes(300),
    }
    for name, content in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(content)
    return tmp_path


def test_every_manifest_column(folder: Path) -> None:
    manifest = read_manifest(list_labeled(folder))
    assert manifest.root == folder.resolve()
    assert dict(manifest.table.schema) == SCHEMA
    assert manifest.table["path"].to_list() == [
        "10/plain.jpg",
        "10/turned.jpg",
        "2/same.png",
        "2/wide.png",
        "été 1/x.WEBP",
    ]
    assert manifest.table["label"].to_list() == ["10", "10", "2", "2", "été 1"]
    sizes = manifest.table.select("height", "width").rows()
    # The second image is upright after its EXIF orientation.
    assert sizes == [(10, 30), (30, 20), (5, 30), (5, 30), (20, 30)]
    for path, count, digest in manifest.table.select("path", "size_bytes", "sha256").iter_rows():
        content = (folder / path).read_bytes()
        assert count == len(content)
        assert digest == hashlib.sha256(content).hexdigest()
    assert manifest.table["sha256"].n_unique() == 4


def test_undecodable_images_go_to_quarantine(folder: Path) -> None:
    listing = list_labeled(folder)
    listing.unusable.append(("10/odd.jpg", "file name is not Unicode"))
    assert read_manifest(listing).quarantine.rows() == [
        ("10/noise.png", "not an image"),
        ("10/odd.jpg", "file name is not Unicode"),
        ("2/cut.jpg", "truncated"),
        ("2/empty.jpg", "empty file"),
        ("2/page.jpg", "not an image (a web page)"),
    ]


def test_missing_image_of_a_table_goes_to_quarantine(folder: Path) -> None:
    (folder / "t.csv").write_text(
        "path,label,group,split\n2/wide.png,a,g,val\n10/plain.jpg,b,,\nno/where.jpg,b,,\n2,a,,\n"
    )
    manifest = read_manifest(list_labeled(folder / "t.csv"))
    assert manifest.table.select("path", "label", "group", "split").rows() == [
        ("10/plain.jpg", "b", None, None),
        ("2/wide.png", "a", "g", "val"),
    ]
    assert manifest.quarantine["path"].to_list() == ["2", "no/where.jpg"]
    assert all(reason.startswith("cannot be read") for reason in manifest.quarantine["reason"])


def test_manifest_ignores_file_system_order(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    walk = os.walk
    first = read_manifest(list_labeled(folder))

    def walk_backwards(*arguments: object, **options: object):  # type: ignore[no-untyped-def]
        for path, folders, files in walk(*arguments, **options):
            folders.reverse()
            files.reverse()
            yield path, folders, files

    monkeypatch.setattr(os, "walk", walk_backwards)
    again = read_manifest(list_labeled(folder))
    assert again.table.equals(first.table) and again.quarantine.equals(first.quarantine)


def test_progress_counts_every_image(folder: Path) -> None:
    calls: list[tuple[int, int]] = []
    read_manifest(list_labeled(folder), lambda done, of: calls.append((done, of)))
    assert calls == [(i, 9) for i in range(1, 10)]


def test_no_decodable_image_names_the_first_reason(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "b/2.jpg"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"text")
    with pytest.raises(DataError, match="2 images, none of which can be decoded") as caught:
        read_manifest(list_labeled(tmp_path))
    assert "a/1.jpg" in str(caught.value) and "\n" not in str(caught.value)


def test_many_segments_stay_in_order(folder: Path) -> None:
    (folder / "many").mkdir()
    content = (folder / "2/wide.png").read_bytes()
    for index in range(1100):
        (folder / "many" / f"{index:04d}.png").write_bytes(content)
    table = read_manifest(list_labeled(folder)).table
    assert table.height == 1105
    assert table["path"].is_sorted()
    assert table.filter(label="many")["height"].unique().to_list() == [5]


def test_classes_in_natural_order_can_be_left_out(folder: Path) -> None:
    manifest = read_manifest(list_labeled(folder))
    assert manifest.classes == ["2", "10", "été 1"]
    assert natural_classes(pl.Series(["b", "a10", "a9", "b"])) == ["a9", "a10", "b"]
    fewer = manifest.without(["2"], "rare")
    assert fewer.classes == ["10", "été 1"]
    assert fewer.quarantine.filter(reason="rare")["path"].to_list() == ["2/same.png", "2/wide.png"]
    assert fewer.quarantine.height == manifest.quarantine.height + 2
    assert fewer.quarantine["path"].is_sorted()
    assert fewer.ignored == manifest.ignored


def test_ignored_counts_of_the_listing_stay(folder: Path) -> None:
    (folder / "2" / "notes.txt").touch()
    listing = list_labeled(folder)
    assert read_manifest(listing).ignored == listing.ignored == {"of other kinds (1 .txt)": 1}


def test_empty_listing_is_an_error(tmp_path: Path) -> None:
    empty = listing_table([])
    with pytest.raises(DataError, match="0 images, none of which"):
        read_manifest(Listing(tmp_path, empty, {}, [("x.jpg", "file name is not Unicode")]))
