"""The square of a box: margin, edges, scaled decoding, digests of their own."""

import hashlib
import io
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ExifTags, Image

from bestiary.data import image_info
from bestiary.data.crops import crop_bounds
from bestiary.data.decode import decode
from bestiary.data.image_info import inspect_image
from bestiary.data.image_info_cache import ImageInfoCache
from bestiary.data.store import load_shrunk
from bestiary.storage.boxes import Box, BoxFile, with_box


def encode(pixels: np.ndarray, kind: str = "png", orientation: int = 1) -> bytes:
    stream = io.BytesIO()
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    Image.fromarray(pixels).save(stream, kind, exif=exif, quality=95)
    return stream.getvalue()


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        (Box(0.4, 0.4, 0.2, 0.1), (21, 76, 48, 48)),  # square, with a margin of 4 pixels
        (Box(0.0, 0.0, 0.2, 0.4), (0, 0, 48, 48)),  # moved inside
        (Box(0.8, 0.6, 0.2, 0.4), (52, 152, 48, 48)),
        (Box(0.0, 0.0, 1.0, 1.0), (0, 0, 100, 200)),  # as high and as wide as the image
        (Box(0.2, 0.1, 0.5, 0.1), (0, 30, 100, 120)),
        (Box(0.5, 0.5, 0.0001, 0.0001), (50, 100, 1, 1)),
    ],
)
def test_a_crop_is_square_where_there_is_room(box: Box, expected: tuple[int, ...]) -> None:
    assert crop_bounds(box, 100, 200) == expected


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_decoding_cuts_the_box_out(kind: str, smooth: np.ndarray) -> None:
    box = Box(0.25, 0.25, 0.25, 0.25)
    content = encode(smooth, kind)
    top, left, height, width = crop_bounds(box, *smooth.shape[:2])
    expected = decode(content)[top : top + height, left : left + width]
    assert np.array_equal(decode(with_box(content, box)), expected)


def test_a_box_is_of_the_upright_image() -> None:
    pixels = np.zeros((40, 80, 3), np.uint8)
    pixels[:, :20] = 255  # turned clockwise, the left side is the top
    content = encode(pixels, "png", orientation=6)
    top = decode(with_box(content, Box(0.4, 0.05, 0.2, 0.1)))
    assert top.min() == 255
    assert decode(with_box(content, Box(0.4, 0.5, 0.2, 0.1))).max() == 0


def test_a_large_image_is_decoded_smaller(detailed: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(encode(detailed, "jpeg"))
    file = BoxFile(tmp_path / "a.jpg", Box(0.2, 0.2, 0.5, 0.5))
    info = inspect_image(file.read_bytes(), "x")
    crop = load_shrunk(file, inspect_sha(file), 64)
    assert (info.height, info.width) == (720, 720)
    assert crop.shape == (64, 64, 3)


def inspect_sha(file: BoxFile) -> str:
    import hashlib

    return hashlib.sha256(file.read_bytes()).hexdigest()


def test_each_box_has_a_digest_of_its_own(smooth: np.ndarray, tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(encode(smooth))
    boxes = [Box(0.1, 0.1, 0.2, 0.2), Box(0.1, 0.1, 0.2, 0.21)]
    digests = {inspect_sha(BoxFile(tmp_path / "a.png", box)) for box in boxes}
    assert len(digests) == 2


def test_metadata_after_a_box_is_read(smooth: np.ndarray) -> None:
    info = inspect_image(with_box(encode(smooth, "jpeg"), Box(0.1, 0.1, 0.2, 0.2)), "x")
    assert (info.format, info.has_damaged_metadata) == ("JPEG", False)


@pytest.mark.parametrize("kind", ["png", "jpeg"])
def test_an_image_is_decoded_once_for_its_boxes(
    kind: str, detailed: np.ndarray, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "a").write_bytes(encode(detailed, kind))
    (tmp_path / "b").write_bytes(b"no image")
    boxes = [Box(0.1, 0.1, 0.2, 0.2), Box(0.2, 0.1, 0.4, 0.3), Box(0.0, 0.0, 1.0, 1.0)]
    files = [BoxFile(tmp_path / name, box) for name in "ab" for box in boxes]
    alone = [inspect_image(file.read_bytes(), inspect_sha(file)) for file in files]
    decoded = []

    def count(content: bytes, **options: Any) -> np.ndarray:
        decoded.append(content)
        return decode(content, **options)

    monkeypatch.setattr(image_info, "decode", count)
    cache = ImageInfoCache(tmp_path / "cache")
    found = cache.read([*files[:3], tmp_path / "a", *files[3:]])
    assert len(decoded) == 3  # a for its boxes, a as a whole, and b
    whole = found.pop(3)
    assert whole.sha256 == hashlib.sha256((tmp_path / "a").read_bytes()).hexdigest()
    assert found == [replace(info, thumb=b"") if info.reason is None else info for info in alone]
    assert cache.read(files) == found
    assert len(decoded) == 3
