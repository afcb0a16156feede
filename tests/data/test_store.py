"""The image store: pixels equal decoding or are absent; crashes and damage are harmless."""

import hashlib
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from bestiary.data import store as storing
from bestiary.data.bit_depth import WhiteLevel
from bestiary.data.store import ImageStore, default_folder, load_shrunk
from bestiary.errors import ImageError

Encode = Callable[..., bytes]
Items = tuple[list[tuple[str, Path]], list[tuple[int, int]]]
PLENTY = 1 << 30


@pytest.fixture
def items(tmp_path: Path, encode: Encode, smooth: np.ndarray) -> Items:
    """SHA-256 with path, and size, of six images in several formats."""
    images = []
    sizes = []
    for number, (kind, shape) in enumerate(
        [
            ("JPEG", (230, 310)),
            ("JPEG", (100, 40)),
            ("PNG", (60, 80)),
            ("WEBP", (90, 90)),
            ("JPEG", (30, 20)),
            ("PNG", (1, 90)),
        ]
    ):
        content = encode(np.roll(smooth, 31 * number, axis=1)[: shape[0], : shape[1]], kind)
        file = tmp_path / f"{number}.{kind.lower()}"
        file.write_bytes(content)
        images.append((hashlib.sha256(content).hexdigest(), file))
        sizes.append(shape)
    return images, sizes


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Callable[..., ImageStore]]:
    """Opens stores and closes them after the test."""
    stores: list[ImageStore] = []

    def make(side: int = 48) -> ImageStore:
        stores.append(ImageStore(tmp_path / "store", side))
        return stores[-1]

    yield make
    for store in stores:
        store.close()


@pytest.fixture
def decodings(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """The paths decoded for stores so far."""
    paths: list[Path] = []

    def note(path: Path, digest: str, side: int, white: WhiteLevel) -> np.ndarray:
        paths.append(path)
        return load_shrunk(path, digest, side, white)

    monkeypatch.setattr(storing, "load_shrunk", note)
    return paths


def shrunk(path: Path, side: int) -> np.ndarray:
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    return load_shrunk(path, digest, side)


def assert_holds(store: ImageStore, items: Items) -> None:
    for digest, path in items[0]:
        pixels = store.get(digest)
        assert pixels is not None and digest in store
        np.testing.assert_array_equal(pixels, shrunk(path, store.side))


def test_stored_pixels_equal_decoding(items: Items, opened: Callable[..., ImageStore]) -> None:
    store = opened()
    assert store.fill(*items, PLENTY) is None
    assert_holds(store, items)
    assert_holds(opened(), items)  # and from another process's files
    assert store.get(items[0][0][0]).shape == (48, 65, 3)  # type: ignore[union-attr]


def test_store_without_preadv(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    store.fill(*items, PLENTY)
    expected = [store.get(digest) for digest, _ in items[0]]
    monkeypatch.delattr(os, "preadv")
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(store.get, [digest for digest, _ in items[0]] * 20))
    for index, pixels in enumerate(again):
        np.testing.assert_array_equal(pixels, expected[index % len(expected)])


def test_unknown_digest_gives_none(items: Items, opened: Callable[..., ImageStore]) -> None:
    store = opened()
    assert store.get("0" * 64) is None and "0" * 64 not in store
    store.fill(*items, PLENTY)
    assert store.get("0" * 64) is None


def test_fill_decodes_only_missing_images(
    items: Items, opened: Callable[..., ImageStore], decodings: list[Path]
) -> None:
    opened().fill(items[0][:4], items[1][:4], PLENTY)
    assert sorted(decodings) == sorted(path for _, path in items[0][:4])
    decodings.clear()
    again = opened()
    assert again.fill(items[0][:4], items[1][:4], PLENTY) is None
    assert decodings == []
    again.fill(*items, PLENTY)
    assert sorted(decodings) == sorted(path for _, path in items[0][4:])
    assert_holds(again, items)


def test_exact_duplicates_are_stored_once(
    items: Items, opened: Callable[..., ImageStore], decodings: list[Path], tmp_path: Path
) -> None:
    digest, path = items[0][0]
    size = items[1][0]
    copy = tmp_path / "copy.jpeg"
    shutil.copy(path, copy)
    opened().fill([(digest, path), (digest, copy)], [size, size], PLENTY)
    assert len(decodings) == 1


def test_fill_progress_counts_missing_images(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    ticks: list[tuple[int, int]] = []
    store = opened()
    store.fill(items[0][:2], items[1][:2], PLENTY, lambda done, of: ticks.append((done, of)))
    store.fill(*items, PLENTY, lambda done, of: ticks.append((done, of)))
    assert ticks == [(2, 2), (4, 4)]


def test_missing_image_is_not_stored(items: Items, opened: Callable[..., ImageStore]) -> None:
    items[0][1][1].unlink()
    items[0][2][1].write_bytes(b"no image")
    store = opened()
    assert store.fill(*items, PLENTY) is None
    assert store.get(items[0][1][0]) is None and store.get(items[0][2][0]) is None
    assert_holds(store, (items[0][3:], items[1][3:]))


def test_damaged_pixels_are_decoded_again(items: Items, opened: Callable[..., ImageStore]) -> None:
    opened().fill(*items, PLENTY)
    store = opened()
    (segment,) = store.folder.glob("*.pixels")
    index = pl.read_parquet(segment.with_suffix(".parquet"))
    entry = index.row(by_predicate=pl.col("sha256") == items[0][2][0], named=True)
    content = bytearray(segment.read_bytes())
    content[entry["offset"] + 5] ^= 1
    segment.write_bytes(content)
    assert store.get(items[0][2][0]) is None
    assert store.get(items[0][2][0]) is None and items[0][2][0] not in store
    assert_holds(store, (items[0][:2] + items[0][3:], items[1][:2] + items[1][3:]))
    assert store.fill(*items, PLENTY) is None  # decodes the damaged one again
    assert_holds(store, items)


def test_truncated_segment_is_ignored(items: Items, opened: Callable[..., ImageStore]) -> None:
    opened().fill(*items, PLENTY)
    store = opened()
    (segment,) = store.folder.glob("*.pixels")
    segment.write_bytes(segment.read_bytes()[:100])
    assert [store.get(digest) for digest, _ in items[0]] == [None] * len(items[0])


@pytest.mark.parametrize(
    "harm", ["no index", "no pixels", "empty index", "another's index", "garbage index"]
)
def test_damaged_segment_is_filled_again(
    items: Items, opened: Callable[..., ImageStore], decodings: list[Path], harm: str
) -> None:
    opened().fill(*items, PLENTY)
    (segment,) = opened().folder.glob("*.pixels")
    index = segment.with_suffix(".parquet")
    if harm == "no index":
        index.unlink()
    elif harm == "no pixels":
        segment.unlink()
    elif harm == "another's index":
        pl.DataFrame({"name": ["x"]}).write_parquet(index)
    else:
        index.write_bytes(b"" if harm == "empty index" else b"garbage" * 20)
    decodings.clear()
    store = opened()
    assert items[0][0][0] not in store
    assert store.fill(*items, PLENTY) is None
    assert len(decodings) == len(items[0])
    assert_holds(store, items)


def test_read_only_store_is_read(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().fill(*items, PLENTY)

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "utime", refuse)
    assert_holds(opened(), items)


def test_low_store_limit_stores_nothing(items: Items, opened: Callable[..., ImageStore]) -> None:
    store = opened()
    reason = store.fill(*items, 20_000)
    assert reason is not None and "data.store_limit_gb" in reason and "\n" not in reason
    assert not list(store.folder.glob("*.p*"))
    assert all(digest not in store for digest, _ in items[0])


def test_store_limit_is_bytes_of_pixels(items: Items, opened: Callable[..., ImageStore]) -> None:
    exact = sum(shrunk(path, 48).nbytes for _, path in items[0])
    store = opened()
    assert store.fill(*items, exact - 1) is not None
    assert store.fill(*items, exact) is None
    assert sum(file.stat().st_size for file in store.folder.glob("*.pixels")) == exact


def test_full_disk_stores_nothing(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=storing.SPARE_BYTES + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    store = opened()
    reason = store.fill(*items, PLENTY)
    assert reason is not None and "are free in" in reason
    assert not list(store.folder.glob("*.p*"))


def test_fill_removes_least_recently_used(items: Items, opened: Callable[..., ImageStore]) -> None:
    for number in range(3):
        opened().fill([items[0][number]], [items[1][number]], PLENTY)
    digests = [digest for digest, _ in items[0]]
    n_bytes = [shrunk(path, 48).nbytes for _, path in items[0]]
    store = opened()
    last_use = [1100, 1050, 1075]
    for index in store.folder.glob("*.parquet"):
        (digest,) = pl.read_parquet(index)["sha256"]
        os.utime(index, (last_use[digests.index(digest)],) * 2)
    limit = n_bytes[0] + n_bytes[2] + n_bytes[3]
    assert store.fill([items[0][3]], [items[1][3]], limit) is None
    fresh = opened()
    assert [digest in fresh for digest in digests] == [True, False, True, True, False, False]


def test_fill_does_not_remove_wanted_images(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    opened().fill(items[0][:1], items[1][:1], PLENTY)
    store = opened()
    n_bytes = shrunk(items[0][0][1], 48).nbytes
    assert store.fill(items[0][:3], items[1][:3], n_bytes + 10) is not None
    assert_holds(opened(), (items[0][:1], items[1][:1]))


def test_stores_of_two_sides_do_not_mix(items: Items, opened: Callable[..., ImageStore]) -> None:
    opened(48).fill(*items, PLENTY)
    other = opened(24)
    assert all(digest not in other for digest, _ in items[0])
    other.fill(*items, PLENTY)
    assert_holds(other, items)
    assert_holds(opened(48), items)
    assert other.get(items[0][0][0]).shape[0] == 24  # type: ignore[union-attr]


@pytest.mark.parametrize("batch", [1, 2])
def test_interrupted_fill_leaves_usable_store(
    items: Items,
    opened: Callable[..., ImageStore],
    monkeypatch: pytest.MonkeyPatch,
    decodings: list[Path],
    batch: int,
) -> None:
    sizes = [shrunk(path, 48).nbytes for _, path in items[0]]
    monkeypatch.setattr(storing, "SEGMENT_BYTES", sum(sizes[:batch]))
    store = opened()

    def interrupt(done: int, of: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.fill(*items, PLENTY, interrupt)
    assert_holds(store, (items[0][:batch], items[1][:batch]))
    again = opened()
    assert_holds(again, (items[0][:batch], items[1][:batch]))
    decodings.clear()
    assert again.fill(*items, PLENTY) is None
    assert len(decodings) == len(items[0]) - batch
    assert_holds(again, items)


def test_failed_write_leaves_no_segment(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    with monkeypatch.context() as patch:
        patch.setattr(
            pl.DataFrame, "write_parquet", lambda *_, **__: (_ for _ in ()).throw(KeyboardInterrupt)
        )
        with pytest.raises(KeyboardInterrupt):
            store.fill(*items, PLENTY)
    again = opened()
    assert all(digest not in again for digest, _ in items[0])
    assert again.fill(*items, PLENTY) is None
    assert_holds(again, items)
    assert not list(store.folder.glob(".*.tmp"))


def test_close_closes_files(items: Items, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else None
    store = ImageStore(tmp_path / "store", 48)
    store.fill(*items, PLENTY)
    assert store.get(items[0][0][0]) is not None
    store.close()
    assert store.get(items[0][0][0]) is None
    store.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_image_outlives_closed_store(items: Items, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store", 48)
    store.fill(*items, PLENTY)
    pixels = store.get(items[0][0][0])
    store.close()
    np.testing.assert_array_equal(pixels, shrunk(items[0][0][1], 48))  # type: ignore[arg-type]


def test_store_folder_follows_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine" / "store"
    monkeypatch.delenv("BESTIARY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder().name == "store" and "bestiary" in str(default_folder())


def test_load_shrunk_never_enlarges(
    items: Items,
) -> None:
    shapes = [shrunk(path, 48).shape[:2] for _, path in items[0]]
    assert shapes == [(48, 65), (100, 40), (48, 64), (48, 48), (30, 20), (1, 90)]


def test_a_changed_file_is_never_stored(items: Items, opened: Callable[..., ImageStore]) -> None:
    """Its pixels would be those of another image for every later run."""
    images, _ = items
    digest, path = images[0]
    other = images[1][1].read_bytes()
    path.write_bytes(other)
    store = opened()
    store.fill(*items, PLENTY)
    assert digest not in store
    assert images[1][0] in store
    with pytest.raises(ImageError, match="bytes have changed"):
        load_shrunk(path, digest, 48)
