"""The audit of whole data sets: what is odd, what is copied, what conflicts, what leaks."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from bestiary.data import image_info as facts
from bestiary.data.audit import Audit, audit_images
from bestiary.data.class_counts import class_lines, count_classes
from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing import list_labeled, list_test
from bestiary.display import Display
from bestiary.errors import BestiaryError

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]
Put = Callable[..., Path]


def audit(data: Path) -> Audit:
    return audit_images(list_labeled(data), list_test(data), Display(quiet=True))


@pytest.fixture
def data(put: Put, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of three sound images each, and an empty cache."""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    for number in range(6):
        put(f"{'ab'[number % 2]}/{number}.jpg", scene(100 + number), quality=95)
    return tmp_path / "data"


def doubts(found: Audit) -> dict[str, str]:
    return dict(found.warnings.iter_rows())


def test_sound_images_give_no_findings_but_their_number(data: Path) -> None:
    found = audit(data)
    assert found.warnings.is_empty() and found.copies.is_empty() and found.quarantine.is_empty()
    assert found.exit_code == 0
    assert found.lines() == ["Small classes: 2 have fewer than 10 images, least 'a' (3)"]
    assert found.manifest.table["duplicate_group"].null_count() == 6
    assert not found.manifest.table["label_conflict"].any()


def test_every_kind_of_unusable_file_is_named_with_its_reason(data: Path, put: Put) -> None:
    whole = (data / "a/0.jpg").read_bytes()
    put("a/empty.jpg", b"")
    put("a/cut.jpg", whole[: len(whole) // 2])
    put("a/page.jpg", b"<!DOCTYPE html>")
    bomb = bytearray(put("a/bomb.bmp", np.zeros((2, 2, 3), np.uint8)).read_bytes())
    bomb[18:26] = (20_000).to_bytes(4, "little") * 2  # claims 400 megapixels
    put("a/bomb.bmp", bytes(bomb))
    found = audit(data)
    reasons = dict(found.quarantine.iter_rows())
    assert reasons.pop("a/bomb.bmp").startswith("above the limit of")
    assert reasons == {
        "a/cut.jpg": "truncated",
        "a/empty.jpg": "empty file",
        "a/page.jpg": "not an image",
    }
    assert found.exit_code == 1
    assert "Unusable: 4 files" in found.lines()[0]


def test_every_kind_of_doubtful_image_is_named_and_kept(data: Path, put: Put, scene: Scene) -> None:
    put("a/extension.png", (data / "a/0.jpg").read_bytes())
    put("a/tiny.png", scene(1, 20, 40))
    put("a/long.png", scene(2, 40, 200))
    put("a/blank.png", np.full((50, 50, 3), 77, np.uint8))
    Image.fromarray(scene(3)).convert("CMYK").save(data / "a/cmyk.jpg")
    put("a/deep.png", (scene(4)[..., 0].astype(np.uint16) * 257))
    put("a/clear.png", np.dstack([scene(5), np.full((150, 200), 120, np.uint8)]))
    frames = [Image.fromarray(scene(seed, 60, 60)) for seed in (6, 7, 8)]
    frames[0].save(data / "a/moving.gif", save_all=True, append_images=frames[1:])
    found = audit(data)
    assert doubts(found) == {
        "a/blank.png": "blank: one color all over",
        "a/clear.png": "transparent: laid over white",
        "a/cmyk.jpg": "CMYK colors: converted without a profile",
        "a/deep.png": "gray of more than 8 bits: reduced to 8",
        "a/extension.png": "wrong extension: the file is JPEG",
        "a/long.png": "extreme aspect: 200 x 40 pixels",
        "a/moving.gif": "animated: 3 frames, the first is taken",
        "a/tiny.png": "tiny: 40 x 20 pixels",
    }
    assert found.manifest.table.height == 14
    assert any(line.startswith("Doubtful: 8 images (") for line in found.lines())


def test_copies_of_each_kind_share_a_group_named_after_the_first(
    data: Path, put: Put, scene: Scene, copying: Callable[[Pixels], Pixels]
) -> None:
    put("a/copy.jpg", np.ascontiguousarray(copying(scene(100))), quality=60)
    found = audit(data)
    assert found.copies["path"].to_list() == ["a/0.jpg", "a/copy.jpg"]
    assert found.copies["duplicate_group"].unique().to_list() == ["a/0.jpg"]
    assert not found.copies["label_conflict"].any() and found.exit_code == 0


def test_the_same_bytes_and_the_same_pixels_are_copies_even_of_blank_images(
    data: Path, put: Put
) -> None:
    blank = np.full((50, 50, 3), 77, np.uint8)
    put("a/blank.png", blank)
    put("a/blank.bmp", blank)
    put("a/other.png", np.full((50, 50, 3), 78, np.uint8))
    put("a/twin.jpg", (data / "a/2.jpg").read_bytes())
    groups = audit(data).copies.group_by("duplicate_group", maintain_order=True).agg("path").rows()
    assert groups == [
        ("a/2.jpg", ["a/2.jpg", "a/twin.jpg"]),
        ("a/blank.bmp", ["a/blank.bmp", "a/blank.png"]),
    ]


def test_copies_with_different_labels_are_a_conflict(data: Path, put: Put, scene: Scene) -> None:
    put("b/other.jpg", scene(100)[:, ::-1].copy(), quality=80)
    found = audit(data)
    table = found.manifest.table
    assert table.filter("label_conflict")["path"].to_list() == ["a/0.jpg", "b/other.jpg"]
    assert any(line.startswith("Conflicts: 2 images in 1 groups") for line in found.lines())
    assert found.exit_code == 1


def test_copies_across_a_test_split_are_leaks_and_count_the_test_images(
    data: Path, put: Put, scene: Scene, tmp_path: Path
) -> None:
    whole = tmp_path / "split"
    (whole / "test").mkdir(parents=True)
    os.rename(data, whole / "train")
    Image.fromarray(scene(100)).resize((120, 90)).save(whole / "test" / "unlabeled.jpg")
    Image.fromarray(scene(999)).save(whole / "test" / "fresh.jpg")
    found = audit(whole)
    assert found.leaks.select("path", "label").rows() == [("test/unlabeled.jpg", None)]
    assert found.copies["leak"].to_list() == [True, True]
    assert "Leaks: 1 of 2 test images have a copy outside the test split" in found.lines()
    assert found.manifest.table.height == 6 and found.test.height == 2
    assert not found.manifest.table["label_conflict"].any()  # an unlabeled copy contradicts nobody
    assert found.exit_code == 1


def test_a_table_s_test_rows_are_looked_at_too(data: Path) -> None:
    rows = [
        f"{path.parent.name}/{path.name},{path.parent.name},"
        for path in sorted(data.rglob("*.jpg"))
    ]
    (data / "twin.jpg").write_bytes((data / "a/0.jpg").read_bytes())
    (data / "t.csv").write_text("\n".join(["path,label,split", *rows, "twin.jpg,b,test"]))
    found = audit(data / "t.csv")
    assert found.leaks["path"].to_list() == ["twin.jpg"]
    assert found.manifest.table.filter("label_conflict")["path"].to_list() == [
        "a/0.jpg"
    ]  # its copy is labeled b


def test_a_second_scan_decodes_and_compares_nothing(
    data: Path, put: Put, scene: Scene, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    put("a/copy.jpg", scene(100), quality=50)
    first = audit(data)
    monkeypatch.setattr(facts, "inspect", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(
        "bestiary.data.near_duplicates.grouping.near_pairs",
        lambda *_: pytest.fail("compared again"),
    )
    second = audit(data)
    assert second.images.equals(first.images) and second.lines() == first.lines()


def test_a_changed_file_is_read_anew_and_a_damaged_cache_is_as_good_as_none(
    data: Path, put: Put, scene: Scene
) -> None:
    first = audit(data)
    put("a/0.jpg", b"not any more")
    for segment in cache_folder().iterdir():
        segment.write_bytes(segment.read_bytes()[:100])
    second = audit(data)
    assert second.quarantine.rows() == [("a/0.jpg", "not an image")]
    assert second.manifest.table.equals(first.manifest.table.filter(pl.col("path") != "a/0.jpg"))


def test_what_was_read_before_an_interruption_is_remembered(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bestiary.data.image_info_cache.CHUNK", 2)
    files = sorted(data.rglob("*.jpg"))

    def interrupt(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ImageInfoCache(cache_folder()).read(files, interrupt)
    seen: list[bytes] = []
    inspect = facts.inspect
    monkeypatch.setattr(
        facts, "inspect", lambda content, digest: seen.append(content) or inspect(content, digest)
    )
    assert len(ImageInfoCache(cache_folder()).read(files)) == 6
    assert len(seen) == 2


def test_a_cache_that_nobody_asks_for_is_swept_away(data: Path) -> None:
    audit(data)
    old = next(cache_folder().glob("facts-*.parquet"))
    os.utime(old, (0, 0))
    ImageInfoCache(cache_folder())
    assert not old.exists()


def test_results_of_comparing_are_bounded_and_those_in_use_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bestiary.data.image_info_cache.KEPT_RESULTS", 3)
    cache, table = (
        ImageInfoCache(tmp_path),
        pl.DataFrame({"sha256": ["a"], "duplicate_sha256": ["b"]}),
    )
    for age, key in enumerate("abc"):
        cache.keep_result(key, table)
        os.utime(tmp_path / f"result-{key}.parquet", (100 + age, 100 + age))
    assert cache.read_result("a") is not None
    cache.keep_result("d", table)
    assert [key for key in "abcd" if cache.read_result(key) is not None] == ["a", "c", "d"]


def test_a_cache_that_cannot_be_written_is_one_clear_line(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(data / "a/0.jpg"))
    with pytest.raises(BestiaryError, match="cannot be written"):
        audit(data)


def test_the_findings_are_written_as_tables(
    data: Path, put: Put, scene: Scene, tmp_path: Path
) -> None:
    put("a/empty.jpg", b"")
    put("b/copy.jpg", scene(100), quality=70)
    audit(data).write(tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "quarantine.csv",
        "warnings.csv",
        "near_duplicates.csv",
        "classes.csv",
    }
    assert pl.read_csv(tmp_path / "out/quarantine.csv").rows() == [("a/empty.jpg", "empty file")]
    assert pl.read_csv(tmp_path / "out/near_duplicates.csv").filter("label_conflict").height == 2


def test_classes_that_are_small_lopsided_or_named_alike_are_named() -> None:
    labels = pl.Series(["Cat"] * 300 + ["cat "] * 12 + ["dog"] * 20 + ["axolotl"] * 3)
    classes = count_classes(labels)
    assert classes.select("label", "images", "similar_names").rows() == [
        ("axolotl", 3, None),
        ("Cat", 300, "cat "),
        ("cat ", 12, "Cat"),
        ("dog", 20, None),
    ]
    assert class_lines(classes) == [
        "Small classes: 1 has fewer than 10 images, least 'axolotl' (3)",
        "Class names: 2 differ from another in case or spaces only, as 'Cat' and 'cat '",
        "Imbalance: the largest class has 100 times the images of the smallest",
    ]
    assert class_lines(count_classes(pl.Series(["a", "b"] * 10))) == []


def test_handwritten_digits_are_not_copies_of_one_another_and_their_copies_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As MNIST has them: 20 pixels amid 28. By what copies of photographs have in common most
    would be one motif.
    """
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    digits, copies = load_digits(), 20
    for number, (gray, label) in enumerate(
        zip(digits.images[:600], digits.target[:600], strict=True)
    ):
        small = Image.fromarray((gray * 255 / 16).astype(np.uint8)).resize(
            (20, 20), Image.Resampling.BICUBIC
        )
        drawn = Image.fromarray(
            np.pad(np.clip(np.asarray(small, float) * 3 - 256, 0, 255).astype(np.uint8), 4)
        )
        place = tmp_path / "data" / str(label)
        place.mkdir(parents=True, exist_ok=True)
        drawn.save(place / f"{number:03d}.png")
        if number < copies:
            drawn.point(lambda level: round(0.9 * level)).save(
                place / f"{number:03d} again.jpg", quality=95
            )
    listing = list_labeled(tmp_path / "data")
    found = audit_images(listing, list_test(tmp_path / "data"), Display(quiet=True)).manifest.table
    assert "Look-alikes: " in capsys.readouterr().err
    group = dict(found.select("path", "duplicate_group").iter_rows())
    pairs = [(path, path.replace(" again.jpg", ".png")) for path in group if "again" in path]
    assert len(pairs) == copies
    assert sum(group[a] is not None and group[a] == group[b] for a, b in pairs) >= copies - 2
    assert found["duplicate_group"].is_not_null().sum() < 2 * copies + 60
    assert not found["label_conflict"].any()
