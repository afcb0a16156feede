"""Decoding: truncated, flipped and foreign bytes are refused with one line that says why."""

import warnings
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFile

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.errors import ImageError

Encode = Callable[..., bytes]
ExifOf = Callable[[int], bytes]
Refusal = Callable[[bytes], str]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "BMP", "TIFF", "GIF"])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_truncated_image_is_refused(
    detailed: Pixels, encode: Encode, kind: str, share: float, refusal: Refusal
) -> None:
    content = encode(detailed[:120, :160], kind)
    assert refusal(content[: int(len(content) * share)])


def test_truncated_is_refused_whatever_others_ask(monkeypatch: pytest.MonkeyPatch) -> None:
    stream = BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).save(stream, "PNG")
    content = stream.getvalue()
    monkeypatch.setattr(ImageFile, "LOAD_TRUNCATED_IMAGES", True)  # as WeasyPrint does
    with pytest.raises(ImageError, match="truncated"):
        decode(content[: len(content) // 2])
    assert ImageFile.LOAD_TRUNCATED_IMAGES, "the setting of others is restored"


def test_truncated_jpeg_is_called_truncated(
    smooth: Pixels, encode: Encode, refusal: Refusal
) -> None:
    content = encode(smooth)
    for end in (len(content) // 2, len(content) - 20):
        assert refusal(content[:end]) == "truncated"
        with pytest.raises(ImageError, match="truncated"):
            decode(content[:end], min_side=16)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"just some text, no image at all\n" * 5,
        b"<!DOCTYPE html><html><body>404 not found</body></html>",
        bytes(5000),
        np.random.default_rng(0).bytes(5000),
        b"\xff\xd8\xff",
        b"\xff\xd8\xff\xe0" + np.random.default_rng(1).bytes(500),
        b"\x89PNG\r\n\x1a\n" + np.random.default_rng(2).bytes(500),
        b"RIFF\0\0\0\0WEBP",
        b"II*\0\x08\0\0\0",
        b"BM",
        b"GIF89a",
        b"%PDF-1.7\n",
        b"PK\x03\x04" + bytes(60),
    ],
    ids=lambda content: repr(content[:8]),
)
def test_non_images_are_refused(content: bytes, refusal: Refusal) -> None:
    assert refusal(content)


def test_html_is_not_an_image(refusal: Refusal) -> None:
    assert refusal(b"<html></html>") == "not an image (a web page)"


def test_unsupported_formats_are_refused(smooth: Pixels, encode: Encode, refusal: Refusal) -> None:
    # Pillow would start ghostscript for it
    assert refusal(encode(smooth, "EPS")) == "not an image (a drawing (PostScript))"
    assert refusal(encode(smooth, "TGA")) == "not an image"


def test_flipped_bytes_decode_or_are_refused(
    smooth: Pixels, encode: Encode, exif_of: ExifOf
) -> None:
    content = encode(smooth, exif=exif_of(6))
    rng = np.random.default_rng(0)
    outcomes = set()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(150):
            damaged = bytearray(content)
            for index in rng.integers(0, 400, 3):
                damaged[index] = rng.integers(256)
            try:
                outcomes.add(decode(bytes(damaged)).dtype.name)
            except ImageError:
                outcomes.add("refused")
    assert outcomes == {"uint8", "refused"}


def test_read_image_says_why_it_failed(tmp_path: Path) -> None:
    (tmp_path / "empty.jpg").touch()
    (tmp_path / "folder.jpg").mkdir()
    for name, reason in (
        ("empty.jpg", "empty file"),
        ("gone.jpg", "No such file"),
        ("folder.jpg", "folder"),
    ):
        with pytest.raises(ImageError, match=reason) as caught:
            read_image(tmp_path / name)
        assert "\n" not in caught.value.reason
