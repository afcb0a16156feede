"""The store: what it gives is what decoding gives, or nothing; a crash, a flipped byte or a full
disk harms no one.
"""

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
from bestiary.data.store import ImageStore, default_folder, load_shrunk

Encode = Callable[..., bytes]
Items = tuple[list[tuple[str, Path]], list[tuple[int, int]]]
PLENTY = 1 << 30


@pytest.fixture
def items(tmp_path: Path, encode: Encode, smooth: np.ndarray) -> Items:
    """Digests with paths, and sizes, of six images in several formats."""
    images, sizes = [], []
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
    seen: list[Path] = []

    def note(path: Path, side: int) -> np.ndarray:
        seen.append(path)
        return load_shrunk(path, side)

    monkeypatch.setattr(storing, "load_shrunk", note)
    return seen


def assert_holds(store: ImageStore, items: Items) -> None:
    for digest, path in items[0]:
        kept = store.get(digest)
        assert kept is not None and digest in store
        np.testing.assert_array_equal(kept, load_shrunk(path, store.side))


def test_what_is_kept_equals_what_decoding_gives(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    store = opened()
    assert store.fill(*items, PLENTY) is None
    assert_holds(store, items)
    assert_holds(opened(), items)  # and from another process's files
    assert store.get(items[0][0][0]).shape == (48, 65, 3)  # type: ignore[union-attr]


def test_a_system_that_cannot_read_at_a_place_gives_the_same(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = opened()
    kept.fill(*items, PLENTY)
    expected = [kept.get(digest) for digest, _ in items[0]]
    monkeypatch.delattr(os, "preadv")
    with ThreadPoolExecutor(4) as pool:
        again = list(pool.map(kept.get, [digest for digest, _ in items[0]] * 20))
    for number, pixels in enumerate(again):
        np.testing.assert_array_equal(pixels, expected[number % len(expected)])


def test_an_unknown_digest_gives_nothing(items: Items, opened: Callable[..., ImageStore]) -> None:
    store = opened()
    assert store.get("0" * 64) is None and "0" * 64 not in store
    store.fill(*items, PLENTY)
    assert store.get("0" * 64) is None


def test_a_second_fill_decodes_nothing_and_a_larger_one_only_what_is_new(
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


def test_exact_duplicates_are_kept_once(
    items: Items, opened: Callable[..., ImageStore], decodings: list[Path], tmp_path: Path
) -> None:
    (digest, path), size = items[0][0], items[1][0]
    copy = tmp_path / "copy.jpeg"
    shutil.copy(path, copy)
    opened().fill([(digest, path), (digest, copy)], [size, size], PLENTY)
    assert len(decodings) == 1


def test_progress_counts_the_images_that_were_missing(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    told: list[tuple[int, int]] = []
    store = opened()
    store.fill(items[0][:2], items[1][:2], PLENTY, lambda done, of: told.append((done, of)))
    store.fill(*items, PLENTY, lambda done, of: told.append((done, of)))
    assert told == [(2, 2), (4, 4)]


def test_an_image_that_went_missing_is_left_out(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    items[0][1][1].unlink()
    items[0][2][1].write_bytes(b"no image")
    store = opened()
    assert store.fill(*items, PLENTY) is None
    assert store.get(items[0][1][0]) is None and store.get(items[0][2][0]) is None
    assert_holds(store, (items[0][3:], items[1][3:]))


def test_damaged_pixels_are_not_believed(items: Items, opened: Callable[..., ImageStore]) -> None:
    opened().fill(*items, PLENTY)
    store = opened()
    (segment,) = store.folder.glob("*.pixels")
    index = pl.read_parquet(segment.with_suffix(".parquet"))
    place = index.row(by_predicate=pl.col("sha256") == items[0][2][0], named=True)
    content = bytearray(segment.read_bytes())
    content[place["offset"] + 5] ^= 1
    segment.write_bytes(content)
    assert store.get(items[0][2][0]) is None
    assert store.get(items[0][2][0]) is None and items[0][2][0] not in store
    assert_holds(store, (items[0][:2] + items[0][3:], items[1][:2] + items[1][3:]))
    assert store.fill(*items, PLENTY) is None  # decodes the damaged one anew
    assert_holds(store, items)


def test_a_segment_cut_short_is_not_believed(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    opened().fill(*items, PLENTY)
    store = opened()
    (segment,) = store.folder.glob("*.pixels")
    segment.write_bytes(segment.read_bytes()[:100])
    assert [store.get(digest) for digest, _ in items[0]] == [None] * len(items[0])


@pytest.mark.parametrize(
    "harm", ["no index", "no pixels", "empty index", "another's index", "garbage index"]
)
def test_a_damaged_segment_is_as_good_as_none_and_is_filled_anew(
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


def test_a_store_that_may_only_be_read_is_read(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened().fill(*items, PLENTY)

    def refuse(path: object) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(os, "utime", refuse)
    assert_holds(opened(), items)


def test_too_low_a_limit_keeps_nothing_and_says_why(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    store = opened()
    reason = store.fill(*items, 20_000)
    assert reason is not None and "data.store_limit_gb" in reason and "\n" not in reason
    assert not list(store.folder.glob("*.p*"))
    assert all(digest not in store for digest, _ in items[0])


def test_the_limit_is_the_bytes_that_are_kept(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    exact = sum(load_shrunk(path, 48).nbytes for _, path in items[0])
    store = opened()
    assert store.fill(*items, exact - 1) is not None
    assert store.fill(*items, exact) is None
    assert sum(file.stat().st_size for file in store.folder.glob("*.pixels")) == exact


def test_a_full_disk_keeps_nothing_and_says_why(
    items: Items, opened: Callable[..., ImageStore], monkeypatch: pytest.MonkeyPatch
) -> None:
    free = SimpleNamespace(free=storing.SPARE_BYTES + 1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: free)
    store = opened()
    reason = store.fill(*items, PLENTY)
    assert reason is not None and "are free in" in reason
    assert not list(store.folder.glob("*.p*"))


def test_room_is_made_by_removing_what_was_used_longest_ago(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    for number in range(3):
        opened().fill([items[0][number]], [items[1][number]], PLENTY)
    stored = {d: load_shrunk(p, 48).nbytes for d, p in items[0]}
    store = opened()
    ages = {"0": 100, "1": 50, "2": 75}
    for index in store.folder.glob("*.parquet"):
        (digest,) = pl.read_parquet(index)["sha256"]
        number = next(n for n, (d, _) in enumerate(items[0]) if d == digest)
        os.utime(index, (1000 + ages[str(number)],) * 2)
    limit = sum(stored[items[0][n][0]] for n in (0, 2, 3))
    assert store.fill([items[0][3]], [items[1][3]], limit) is None
    fresh = opened()
    assert [digest in fresh for digest, _ in items[0]] == [True, False, True, True, False, False]


def test_what_is_wanted_now_is_not_removed_to_make_room(
    items: Items, opened: Callable[..., ImageStore]
) -> None:
    opened().fill(items[0][:1], items[1][:1], PLENTY)
    store = opened()
    kept = load_shrunk(items[0][0][1], 48).nbytes
    assert store.fill(items[0][:3], items[1][:3], kept + 10) is not None
    assert_holds(opened(), (items[0][:1], items[1][:1]))


def test_two_sizes_do_not_mix(items: Items, opened: Callable[..., ImageStore]) -> None:
    opened(48).fill(*items, PLENTY)
    other = opened(24)
    assert all(digest not in other for digest, _ in items[0])
    other.fill(*items, PLENTY)
    assert_holds(other, items)
    assert_holds(opened(48), items)
    assert other.get(items[0][0][0]).shape[0] == 24  # type: ignore[union-attr]


@pytest.mark.parametrize("batch", [1, 2])
def test_an_interrupted_fill_leaves_a_store_that_can_be_used(
    items: Items,
    opened: Callable[..., ImageStore],
    monkeypatch: pytest.MonkeyPatch,
    decodings: list[Path],
    batch: int,
) -> None:
    sizes = [load_shrunk(path, 48).nbytes for _, path in items[0]]
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


def test_a_failure_while_writing_leaves_no_half_segment(
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


def test_closing_gives_the_files_back(items: Items, tmp_path: Path) -> None:
    before = len(os.listdir("/proc/self/fd")) if Path("/proc/self/fd").is_dir() else None
    store = ImageStore(tmp_path / "store", 48)
    store.fill(*items, PLENTY)
    assert store.get(items[0][0][0]) is not None
    store.close()
    assert store.get(items[0][0][0]) is None
    store.close()
    if before is not None:
        assert len(os.listdir("/proc/self/fd")) == before


def test_an_image_stays_after_closing(items: Items, tmp_path: Path) -> None:
    store = ImageStore(tmp_path / "store", 48)
    store.fill(*items, PLENTY)
    kept = store.get(items[0][0][0])
    store.close()
    np.testing.assert_array_equal(kept, load_shrunk(items[0][0][1], 48))  # type: ignore[arg-type]


def test_the_cache_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "mine"))
    assert default_folder() == tmp_path / "mine" / "store"
    monkeypatch.delenv("BESTIARY_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_folder().name == "store" and "bestiary" in str(default_folder())


def test_what_a_store_keeps_has_the_short_side_asked_for_and_is_never_enlarged(
    items: Items,
) -> None:
    shapes = [load_shrunk(path, 48).shape[:2] for _, path in items[0]]
    assert shapes == [(48, 65), (100, 40), (48, 64), (48, 48), (30, 20), (1, 90)]
