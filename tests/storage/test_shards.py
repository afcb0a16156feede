"""Shards: WebDataset reads them, the index finds every image, the shuffle order is local."""

import tarfile
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import webdataset
from PIL import Image

import bestiary
from bestiary.data.epoch_order import window_order
from bestiary.data.listing import list_labeled
from bestiary.errors import DataError
from bestiary.storage.shards import ShardFolder


@pytest.fixture(scope="module")
def shards(beasts: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("shards") / "out"
    bestiary.shard(beasts, out, quiet=True)
    return out


def write_noise(folder: Path, n_images: int, n_bytes: int) -> None:
    """Files that look like images; sharding does not decode them."""
    rng = np.random.default_rng(0)
    for number in range(n_images):
        file = folder / "ab"[number % 2] / f"{number:03d}.jpg"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\xd8\xff" + rng.bytes(n_bytes - 3))


@pytest.mark.parametrize(
    ("n_images", "n_bytes", "n_shards"),
    [
        (6, 1_000, 1),
        (6, 300_000, 2),  # four fill a megabyte
        (40, 1_000_000, 40),  # each fills the limit exactly
        (4, 500_000, 2),  # two fill it exactly
        (3, 2_500_000, 3),  # each is larger than the limit
    ],
)
def test_every_image_is_in_its_shard(
    tmp_path: Path, n_images: int, n_bytes: int, n_shards: int
) -> None:
    data = tmp_path / "data"
    write_noise(data, n_images, n_bytes)
    summary = bestiary.shard(data, tmp_path / "shards", megabytes=1, quiet=True)
    assert (summary.images, summary.shards) == (n_images, n_shards)
    folder = ShardFolder(tmp_path / "shards")
    table = folder.list_images()
    assert table.height == n_images and table["shard"].n_unique() == n_shards
    for path in table["path"]:
        assert (folder / path).read_bytes() == (data / path).read_bytes()


def test_names_without_a_usual_suffix_do_not_clash_with_metadata(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_noise(data, 2, 1_000)
    for name in ("a/photo.json", "a/photo", "b/x.jpg~"):
        (data / name).write_bytes(b"\xff\xd8\xff" + name.encode())
    bestiary.shard(data, tmp_path / "shards", quiet=True)
    folder = ShardFolder(tmp_path / "shards")
    for name in ("a/photo.json", "a/photo", "b/x.jpg~"):
        assert (folder / name).read_bytes() == (data / name).read_bytes()


def test_images_that_cannot_be_listed_are_named(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_noise(data, 2, 1_000)
    (data / "a" / "raw.nef").write_bytes(b"MM")
    summary = bestiary.shard(data, tmp_path / "shards", quiet=True)
    assert summary.exit_code == 1 and "a/raw.nef (a camera's raw file" in str(summary)


def test_what_is_no_image_is_left_out(tmp_path: Path) -> None:
    data = tmp_path / "data"
    write_noise(data, 2, 1_000)
    (data / "a" / "page.jpg").write_text("<!DOCTYPE html><html>not found</html>")
    (data / "a" / "notes.png").write_text("white moth, third leaf")
    (data / "b" / "empty.jpg").touch()
    Image.new("RGB", (16, 16), "red").save(data / "b" / "icon.ico")
    summary = bestiary.shard(data, tmp_path / "shards", quiet=True)
    assert dict(summary.missing) == {
        "a/notes.png": "not an image",
        "a/page.jpg": "not an image (a web page)",
        "b/empty.jpg": "empty file",
    }
    assert (summary.images, summary.exit_code) == (3, 1)


@pytest.mark.filterwarnings("ignore")  # webdataset leaves the file open
def test_webdataset_reads_shards(beasts: Path, shards: Path) -> None:
    labels = {}
    dataset = webdataset.WebDataset(str(shards / "shard-000000.tar"), shardshuffle=False)
    for sample in dataset.decode():
        labels[sample["json"]["path"]] = sample["json"]["label"]
    listing = list_labeled(beasts)
    assert labels == dict(listing.table.select("path", "label").iter_rows())


def test_shard_index_gives_bytes_of_each_image(beasts: Path, shards: Path) -> None:
    folder = ShardFolder(shards)
    listing = list_labeled(beasts)
    for path in listing.table["path"]:
        assert (folder / path).read_bytes() == (beasts / path).read_bytes()
    assert not (folder / "no such image.jpg").is_file()
    assert list_labeled(shards).table.equals(listing.table)


def test_same_images_give_same_shards(beasts: Path, shards: Path, tmp_path: Path) -> None:
    bestiary.shard(beasts, tmp_path / "again", quiet=True)
    for file in shards.iterdir():
        assert file.read_bytes() == (tmp_path / "again" / file.name).read_bytes()
    with pytest.raises(DataError, match="holds shards already"):
        bestiary.shard(beasts, shards, quiet=True)


def test_truncated_shard_is_reported(shards: Path, tmp_path: Path) -> None:
    for file in shards.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    shard = tmp_path / "shard-000000.tar"
    with tarfile.open(shard) as archive:
        last = [m for m in archive if not m.name.endswith(".json")][-1]
    shard.write_bytes(shard.read_bytes()[: last.offset_data + 10])
    folder = ShardFolder(tmp_path)
    row = folder.list_images().sort("offset").row(-1, named=True)
    with pytest.raises(OSError, match="cut short"):
        (folder / row["path"]).read_bytes()


@pytest.mark.parametrize("window", [1, 50, 120, 10_000])
def test_window_order_reads_few_shards_at_a_time(window: int) -> None:
    numbers = np.random.default_rng(0).integers(0, 20, 1000)
    order = window_order(numbers, window, 0, 0, 0)
    assert sorted(order.tolist()) == list(range(1000))
    assert (order == window_order(numbers, window, 0, 0, 0)).all()
    assert (order != window_order(numbers, window, 0, 0, 1)).any()
    visited = numbers[order]
    largest = np.bincount(numbers).max()
    for shard in range(20):
        positions = np.flatnonzero(visited == shard)
        assert positions[-1] - positions[0] <= window + largest, (
            "a shard is used up within one filling of the buffer"
        )
    if window > 1000:
        assert len(np.unique(visited[:100])) > 15, "all shards are mixed"


def test_damaged_shard_index_is_refused(shards: Path, tmp_path: Path) -> None:
    index = pl.read_parquet(shards / "index.parquet")
    for wrong, words in (
        (pl.concat([index, index[:1]]), "names an image twice"),
        (index.with_columns(offset=None), "has gaps"),
        (index.drop("bytes"), "cannot be read"),
        (index.with_columns(shard=pl.lit("first")), "cannot be read"),
    ):
        wrong.write_parquet(tmp_path / "index.parquet")
        with pytest.raises(DataError, match=words):
            ShardFolder(tmp_path)
