"""Audits: quality warnings, near duplicates, label conflicts, leaks, odd classes and the cache."""

import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray
from PIL import Image
from sklearn.datasets import load_digits

from bestiary.data import image_info
from bestiary.data.audit import Audit, audit_images
from bestiary.data.class_counts import class_lines, count_classes
from bestiary.data.image_info_cache import ImageInfoCache, cache_folder
from bestiary.data.listing import list_labeled
from bestiary.display import Display

Pixels = NDArray[np.uint8]
Scene = Callable[..., Pixels]
Save = Callable[..., Path]


def audit(data: Path) -> Audit:
    return audit_images(list_labeled(data), Display(quiet=True))


@pytest.fixture
def data(save: Save, scene: Scene, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two classes of three sound images each, and an empty cache."""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    for index in range(6):
        save(f"{'ab'[index % 2]}/{index}.jpg", scene(100 + index), quality=95)
    return tmp_path / "data"


def test_sound_images_give_no_findings(data: Path) -> None:
    audited = audit(data)
    assert audited.warnings.is_empty()
    assert audited.near_duplicates.is_empty()
    assert audited.quarantine.is_empty()
    assert audited.exit_code == 0
    assert audited.lines() == ["Small classes: 2 have fewer than 10 images, least 'a' (3)"]
    assert audited.manifest.table["duplicate_group"].null_count() == 6
    assert not audited.manifest.table["label_conflict"].any()


def test_unusable_files_go_to_quarantine_with_reason(data: Path, save: Save) -> None:
    content = (data / "a/0.jpg").read_bytes()
    save("a/empty.jpg", b"")
    save("a/cut.jpg", content[: len(content) // 2])
    save("a/page.jpg", b"<!DOCTYPE html>")
    bomb = bytearray(save("a/bomb.bmp", np.zeros((2, 2, 3), np.uint8)).read_bytes())
    bomb[18:26] = (20_000).to_bytes(4, "little") * 2  # claims 400 megapixels
    save("a/bomb.bmp", bytes(bomb))
    audited = audit(data)
    reasons = dict(audited.quarantine.iter_rows())
    assert reasons.pop("a/bomb.bmp").startswith("above the limit of")
    assert reasons == {
        "a/cut.jpg": "truncated",
        "a/empty.jpg": "empty file",
        "a/page.jpg": "not an image (a web page)",
    }
    assert audited.exit_code == 1
    assert "4 unusable" in audited.lines()[0]


def test_quality_warnings_of_each_kind(data: Path, save: Save, scene: Scene) -> None:
    save("a/extension.png", (data / "a/0.jpg").read_bytes())
    save("a/tiny.png", scene(1, 20, 40))
    save("a/long.png", scene(2, 40, 200))
    save("a/blank.png", np.full((50, 50, 3), 77, np.uint8))
    Image.fromarray(scene(3)).convert("CMYK").save(data / "a/cmyk.jpg")
    save("a/deep.png", (scene(4)[..., 0].astype(np.uint16) * 257))
    save("a/clear.png", np.dstack([scene(5), np.full((150, 200), 120, np.uint8)]))
    frames = [Image.fromarray(scene(seed, 60, 60)) for seed in (6, 7, 8)]
    frames[0].save(data / "a/moving.gif", save_all=True, append_images=frames[1:])
    audited = audit(data)
    assert dict(audited.warnings.iter_rows()) == {
        "a/blank.png": "blank: one color all over",
        "a/clear.png": "transparent: laid over white",
        "a/cmyk.jpg": "CMYK colors: converted without a profile",
        "a/deep.png": "more than 8 bits: reduced to 8",
        "a/extension.png": "wrong extension: the file is JPEG",
        "a/long.png": "extreme aspect: 200 x 40 pixels",
        "a/moving.gif": "animated: 3 frames, the first is taken",
        "a/tiny.png": "tiny: 40 x 20 pixels",
    }
    assert audited.manifest.table.height == 14
    assert any(line.startswith("Quality warnings: 8 images (") for line in audited.lines())


def test_near_duplicates_share_a_duplicate_group(
    data: Path, save: Save, scene: Scene, alter: Callable[[Pixels], Pixels]
) -> None:
    save("a/near.jpg", np.ascontiguousarray(alter(scene(100))), quality=60)
    audited = audit(data)
    assert audited.near_duplicates["path"].to_list() == ["a/0.jpg", "a/near.jpg"]
    assert audited.near_duplicates["duplicate_group"].unique().to_list() == ["a/0.jpg"]
    assert not audited.near_duplicates["label_conflict"].any() and audited.exit_code == 0


def test_same_bytes_or_pixels_are_near_duplicates(data: Path, save: Save) -> None:
    blank = np.full((50, 50, 3), 77, np.uint8)
    save("a/blank.png", blank)
    save("a/blank.bmp", blank)
    save("a/other.png", np.full((50, 50, 3), 78, np.uint8))
    save("a/same.jpg", (data / "a/2.jpg").read_bytes())
    groups = (
        audit(data)
        .near_duplicates.group_by("duplicate_group", maintain_order=True)
        .agg("path")
        .rows()
    )
    assert groups == [
        ("a/2.jpg", ["a/2.jpg", "a/same.jpg"]),
        ("a/blank.bmp", ["a/blank.bmp", "a/blank.png"]),
    ]


def test_label_conflict_between_near_duplicates(data: Path, save: Save, scene: Scene) -> None:
    save("b/other.jpg", scene(100)[:, ::-1].copy(), quality=80)
    audited = audit(data)
    table = audited.manifest.table
    assert table.filter("label_conflict")["path"].to_list() == ["a/0.jpg", "b/other.jpg"]
    assert any(line.startswith("Label conflicts: 2 images in 1 group") for line in audited.lines())
    assert audited.exit_code == 1


def test_leaks_across_the_test_split(data: Path, save: Save, scene: Scene, tmp_path: Path) -> None:
    split_data = tmp_path / "split"
    test = split_data / "test"
    test.mkdir(parents=True)
    os.rename(data, split_data / "train")
    Image.fromarray(scene(100)).resize((120, 90)).save(test / "unlabeled.jpg")
    Image.fromarray(scene(999)).save(test / "new.jpg")
    audited = audit(split_data)
    assert audited.leaks.select("path", "label").rows() == [("test/unlabeled.jpg", None)]
    assert audited.near_duplicates["leak"].to_list() == [True, True]
    assert (
        "Leaks: 1 of 2 test images have a near duplicate outside the test split" in audited.lines()
    )
    assert audited.manifest.table.height == 6 and audited.test.height == 2
    # An unlabeled near duplicate is in conflict with no label.
    assert not audited.manifest.table["label_conflict"].any()
    assert audited.exit_code == 1


def test_leaks_of_test_rows_in_a_table(data: Path) -> None:
    rows = [
        f"{path.parent.name}/{path.name},{path.parent.name},"
        for path in sorted(data.rglob("*.jpg"))
    ]
    (data / "same.jpg").write_bytes((data / "a/0.jpg").read_bytes())
    (data / "t.csv").write_text("\n".join(["path,label,split", *rows, "same.jpg,b,test"]))
    audited = audit(data / "t.csv")
    assert audited.leaks["path"].to_list() == ["same.jpg"]
    assert audited.manifest.table.filter("label_conflict")["path"].to_list() == [
        "a/0.jpg"
    ]  # its copy is labeled b


def test_second_scan_decodes_and_compares_nothing(
    data: Path, save: Save, scene: Scene, monkeypatch
) -> None:  # type: ignore[no-untyped-def]
    save("a/near.jpg", scene(100), quality=50)
    first = audit(data)
    monkeypatch.setattr(image_info, "inspect_image", lambda *_: pytest.fail("decoded again"))
    monkeypatch.setattr(
        "bestiary.data.near_duplicates.grouping.candidate_pairs",
        lambda *_: pytest.fail("compared again"),
    )
    second = audit(data)
    assert second.images.equals(first.images) and second.lines() == first.lines()


def test_changed_file_or_damaged_cache_is_read_again(data: Path, save: Save) -> None:
    first = audit(data)
    save("a/0.jpg", b"not any more")
    for segment in cache_folder().iterdir():
        segment.write_bytes(segment.read_bytes()[:100])
    second = audit(data)
    assert second.quarantine.rows() == [("a/0.jpg", "not an image")]
    assert second.manifest.table.equals(first.manifest.table.filter(pl.col("path") != "a/0.jpg"))


def test_cache_keeps_images_read_before_interruption(
    data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bestiary.data.image_info_cache.SEGMENT_IMAGES", 2)
    files = sorted(data.rglob("*.jpg"))

    def interrupt(done: int, _: int) -> None:
        if done == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        ImageInfoCache(cache_folder()).read(files, interrupt)
    decoded: list[bytes] = []
    inspect = image_info.inspect_image

    def count(content: bytes, sha256: str) -> image_info.ImageInfo:
        decoded.append(content)
        return inspect(content, sha256)

    monkeypatch.setattr(image_info, "inspect_image", count)
    assert len(ImageInfoCache(cache_folder()).read(files)) == 6
    assert len(decoded) == 2


def test_unused_cache_segments_are_deleted(data: Path) -> None:
    audit(data)
    old = next(cache_folder().glob("images-*.parquet"))
    os.utime(old, (0, 0))
    ImageInfoCache(cache_folder())
    assert not old.exists()


def test_cached_results_evict_least_recently_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bestiary.data.image_info_cache.MAX_RESULTS", 3)
    cache = ImageInfoCache(tmp_path)
    table = pl.DataFrame({"sha256": ["a"], "duplicate_sha256": ["b"]})
    for age, key in enumerate("abc"):
        cache.write_result(key, table)
        os.utime(tmp_path / f"result-{key}.parquet", (100 + age, 100 + age))
    assert cache.read_result("a") is not None
    cache.write_result("d", table)
    assert [key for key in "abcd" if cache.read_result(key) is not None] == ["a", "c", "d"]


def test_cache_that_cannot_be_made_is_one_clear_line(
    data: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    expected = audit(data).manifest.table
    monkeypatch.setenv("BESTIARY_CACHE", str(data / "a/0.jpg"))
    capsys.readouterr()
    assert audit(data).manifest.table.equals(expected)
    lines = [line for line in capsys.readouterr().err.splitlines() if "BESTIARY_CACHE" in line]
    assert len(lines) == 1


def test_cache_that_takes_no_more_is_one_clear_line(
    data: Path,
    save: Save,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    save("b/near.jpg", (data / "a/0.jpg").read_bytes())
    expected = audit(data)
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path))
    cache_folder().write_text("a file where the folder should be")
    capsys.readouterr()
    found = audit(data)
    assert found.manifest.table.equals(expected.manifest.table)
    assert found.near_duplicates.equals(expected.near_duplicates)
    lines = [line for line in capsys.readouterr().err.splitlines() if "cannot be written" in line]
    assert len(lines) == 1
    assert lines[0].endswith("so nothing is kept there; BESTIARY_CACHE names another folder")
    assert cache_folder().is_file()


def test_findings_are_written_as_csv_tables(
    data: Path, save: Save, scene: Scene, tmp_path: Path
) -> None:
    save("a/empty.jpg", b"")
    save("b/near.jpg", scene(100), quality=70)
    audit(data).write(tmp_path / "out")
    assert {file.name for file in (tmp_path / "out").iterdir()} == {
        "quarantine.csv",
        "warnings.csv",
        "near_duplicates.csv",
        "not_duplicates.csv",
        "same_scenes.csv",
        "classes.csv",
    }
    assert pl.read_csv(tmp_path / "out/quarantine.csv").rows() == [("a/empty.jpg", "empty file")]
    assert pl.read_csv(tmp_path / "out/near_duplicates.csv").filter("label_conflict").height == 2


def test_class_lines_small_imbalance_similar_names() -> None:
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
        "Class names: 2 differ from another in case, spaces or width only, as 'Cat' and 'cat '",
        "Imbalance: the largest class has 100 times the images of the smallest",
    ]
    assert class_lines(count_classes(pl.Series(["a", "b"] * 10))) == []
    assert class_lines(count_classes(pl.Series(["a", "a|b", "b|c", "b"] * 10))) == [
        "Class names: 2 hold '|', as 'a|b'; each is one class here, and tables put '|' between the "
        "classes of a prediction set",
    ]


@pytest.mark.slow
def test_near_duplicates_of_low_detail_digits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Digits as in MNIST have one outline or another in common: only the darker ones are proved."""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    data = tmp_path / "data"
    n_darker = 20
    digits = load_digits()
    for index in range(200):
        digit = mnist_like(digits.images[index])
        folder = data / str(digits.target[index])
        folder.mkdir(parents=True, exist_ok=True)
        digit.save(folder / f"{index:03d}.png")
        if index < n_darker:
            darker = digit.point(lambda level: round(0.9 * level))
            darker.save(folder / f"{index:03d} again.jpg", quality=95)
    table = audit(data).manifest.table
    group = dict(table.select("path", "duplicate_group").iter_rows())
    pairs = [(path, path.replace(" again.jpg", ".png")) for path in group if "again" in path]
    assert len(pairs) == n_darker
    n_found = sum(group[a] is not None and group[a] == group[b] for a, b in pairs)
    assert n_found >= n_darker - 2
    assert table["duplicate_group"].is_not_null().sum() < 2 * n_darker + 10
    assert not table["label_conflict"].any()


def mnist_like(gray: NDArray[np.float64]) -> Image.Image:
    """Draw a digit of scikit-learn's set with 20 pixels, amid 28, with more contrast."""
    pixels = Image.fromarray((gray * 255 / 16).astype(np.uint8))
    larger = pixels.resize((20, 20), Image.Resampling.BICUBIC)
    contrasted = np.clip(np.asarray(larger, float) * 3 - 256, 0, 255).astype(np.uint8)
    return Image.fromarray(np.pad(contrasted, 4))
