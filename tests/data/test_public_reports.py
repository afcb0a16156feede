"""Public reports about other tools, tried here, as docs/explanation/reports-elsewhere.md lists."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from pillow_heif import from_pillow

from bestiary.data.decode import Pixels, decode
from bestiary.data.listing import list_labeled
from bestiary.errors import DataError

Encode = Callable[..., bytes]
ExifOf = Callable[[int], bytes]

# What a camera stores when it is held so: EXIF orientation -> how to get there from upright.
STORED = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}


@pytest.fixture(scope="module")
def scenes(smooth: Pixels) -> dict[str, Image.Image]:
    color = Image.fromarray(smooth[:48, :64])
    gray = np.asarray(color.convert("L")).astype(np.uint16) * 257
    return {"color": color, "16-bit gray": Image.fromarray(gray)}


def tagged(image: Image.Image, kind: str, orientation: int, exif: bytes) -> bytes:
    buffer = io.BytesIO()
    if kind == "HEIF":
        from_pillow(image).save(buffer, quality=95, exif=exif)
    elif kind == "TIFF":
        image.save(buffer, kind, tiffinfo={274: orientation})
    else:
        options = {"lossless": True} if kind == "WEBP" else {"quality": 97}
        image.save(buffer, kind, exif=exif, **options)
    return buffer.getvalue()


@pytest.mark.parametrize("orientation", STORED)
@pytest.mark.parametrize(
    ("kind", "scene"),
    [
        *((kind, "color") for kind in ("JPEG", "PNG", "WEBP", "TIFF", "AVIF", "HEIF", "MPO")),
        ("PNG", "16-bit gray"),
        ("TIFF", "16-bit gray"),
    ],
)
def test_every_orientation_is_applied_once(
    kind: str,
    scene: str,
    orientation: int,
    scenes: dict[str, Image.Image],
    exif_of: ExifOf,
) -> None:
    """Pillow 7381 (TIFF twice), pillow-heif (HEIF never), torchvision 7977."""
    upright = scenes[scene]
    content = tagged(
        upright.transpose(STORED[orientation]), kind, orientation, exif_of(orientation)
    )
    expected = decode(tagged(upright, "PNG", 1, exif_of(1)))
    assert np.abs(decode(content).astype(int) - expected).mean() < 3


def test_exif_with_two_headers_still_turns(smooth: Pixels, encode: Encode, exif_of: ExifOf) -> None:
    """Pillow 8348."""
    doubled = encode(smooth, exif=b"Exif\0\0" + exif_of(6))
    assert decode(doubled).shape == (310, 230, 3)


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_is_not_inverted(kind: str, smooth: Pixels, encode: Encode) -> None:
    """torchvision 3012."""
    content = encode(Image.fromarray(smooth).convert("CMYK"), kind, quality=95)
    assert np.abs(decode(content).astype(int) - smooth).mean() < 3


def test_a_jpeg_that_holds_rgb_is_not_read_as_ycbcr(smooth: Pixels, encode: Encode) -> None:
    """Pillow 3952."""
    content = encode(smooth, quality=95, keep_rgb=True)
    assert np.abs(decode(content).astype(int) - smooth).mean() < 3


def test_a_broken_color_profile_is_no_reason_to_drop_an_image(
    smooth: Pixels, encode: Encode
) -> None:
    """pbs/its 180."""
    for kind in ("JPEG", "PNG", "WEBP"):
        content = encode(smooth, kind, icc_profile=b"\0\0\0\x10garbage", quality=95)
        assert np.abs(decode(content).astype(int) - smooth).mean() < 4


def test_bytes_behind_the_end_of_a_jpeg_do_not_matter(smooth: Pixels, encode: Encode) -> None:
    """yolov5 3638 and its kind: phones append videos and gain maps."""
    content = encode(smooth, quality=95)
    assert np.array_equal(decode(content + b"junk" * 1000), decode(content))


def test_one_image_in_every_color_mode(smooth: Pixels, encode: Encode) -> None:
    """Pillow 6496 and 2157."""
    image = Image.fromarray(smooth)
    gray = np.repeat(np.asarray(image.convert("L"))[..., None], 3, axis=2).astype(int)
    for kind in ("PNG", "TIFF"):
        for mode in ("L", "LA"):
            assert np.abs(decode(encode(image.convert(mode), kind)) - gray).max() <= 1
        assert np.array_equal(decode(encode(image.convert("RGBA"), kind)), smooth)
        palette = image.quantize(64)
        assert np.array_equal(decode(encode(palette, kind)), np.asarray(palette.convert("RGB")))


def make(folder: Path, *paths: str) -> None:
    for path in paths:
        file = folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()


def test_links_are_labeled_by_where_they_are(tmp_path: Path) -> None:
    """Hugging Face datasets 5098."""
    make(tmp_path, "pool/1.jpg", "pool/2.jpg", "data/b/3.jpg")
    (tmp_path / "data" / "a").mkdir()
    (tmp_path / "data" / "a" / "x.jpg").symlink_to(tmp_path / "pool" / "1.jpg")
    table = list_labeled(tmp_path / "data").table
    assert table.select("path", "label").rows() == [("a/x.jpg", "a"), ("b/3.jpg", "b")]


def test_words_in_file_names_are_no_splits(tmp_path: Path) -> None:
    """Hugging Face datasets 5021 and 4895."""
    make(tmp_path, "a/photo of a train.jpg", "a/test tubes.jpg", "b/val_01.jpg", "b/cat.jpg")
    assert list_labeled(tmp_path).table["split"].null_count() == 4


def test_names_of_classes_are_kept_exactly(tmp_path: Path) -> None:
    """sparc-curation 83, mxnet-finetuner 43."""
    names = ["v1.0", "v1.1", "St. John", "a,b", 'c"d', "#e", "100%", "dog.jpg"]
    make(tmp_path, *(f"{name}/1.jpg" for name in names))
    assert set(list_labeled(tmp_path).table["label"]) == set(names)


def test_an_empty_class_folder_is_no_error(tmp_path: Path) -> None:
    """torchvision 4925 and 8297, timm 957."""
    make(tmp_path, "a/1.jpg", "b/2.jpg", "c/notes.txt")
    assert list_labeled(tmp_path).empty_classes == {"c": 0}


@pytest.mark.parametrize("rows", ["a.jpg,NA\nb.jpg,None\n", "a.jpg,null\nb.jpg,n/a\n"])
def test_classes_with_the_names_of_nothing(tmp_path: Path, rows: str) -> None:
    """pydatalab 398, pandas 10647."""
    make(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text(f"path,label\n{rows}")
    listing = list_labeled(tmp_path / "t.csv")
    assert listing.table.height == 2
    assert any("taken for a class" in note for note in listing.notes)


def test_ids_and_labels_keep_their_zeros(tmp_path: Path) -> None:
    """fastai 1008."""
    make(tmp_path, "0001.jpg", "0002.jpg", "1e5.jpg")
    (tmp_path / "t.csv").write_text("path,label\n0001.jpg,01\n0002.jpg,1\n1e5.jpg,1e5\n")
    assert list_labeled(tmp_path / "t.csv").table["label"].to_list() == ["01", "1", "1e5"]


def test_labels_of_several_words_and_signs_stay_whole(tmp_path: Path) -> None:
    """fastai 175, pandas 28458 (the separator is not guessed from the rows)."""
    make(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text('path;label\na.jpg;"dog, small; wet"\nb.jpg;golden retriever\n')
    labels = list_labeled(tmp_path / "t.csv").table["label"].to_list()
    assert labels == ["dog, small; wet", "golden retriever"]


def test_a_class_without_any_of_its_files_is_found(tmp_path: Path) -> None:
    """AutoGluon 2701, fastai 894: the files that are missing are named, and the class is."""
    make(tmp_path, "a.jpg", "b.jpg")
    (tmp_path / "t.csv").write_text("path,label\na.jpg,a\nb.jpg,b\ngone.jpg,c\n")
    listing = list_labeled(tmp_path / "t.csv")
    assert "c" in set(listing.table["label"])  # test_left_out has how it is named once it is read


def test_one_file_with_two_labels_is_refused(tmp_path: Path) -> None:
    """RadImageNet 17."""
    make(tmp_path, "x/a.jpg", "b.jpg")
    for repeated in ("x/a.jpg", "x\\a.jpg", f"{tmp_path}/x/a.jpg"):
        (tmp_path / "t.csv").write_text(f"path,label\nx/a.jpg,a\nb.jpg,b\n{repeated},b\n")
        with pytest.raises(DataError, match="more than once"):
            list_labeled(tmp_path / "t.csv")
