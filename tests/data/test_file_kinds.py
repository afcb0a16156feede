"""Formats by name and first bytes: images, images that are not read, and other files."""

from collections.abc import Callable

import pytest
from PIL import Image
from pillow_heif import from_pillow

from bestiary.data.decode import Pixels, decode
from bestiary.data.file_kinds import FORMATS, HEAD_BYTES, describe_content, file_kind, image_format

Encode = Callable[..., bytes]


def heif(pixels: Pixels) -> bytes:
    import io

    buffer = io.BytesIO()
    from_pillow(Image.fromarray(pixels)).save(buffer, quality=90)
    return buffer.getvalue()


def encode_as(name: str, pixels: Pixels, encode: Encode) -> bytes:
    return heif(pixels) if name == "HEIF" else encode(pixels, name)


@pytest.mark.parametrize("name", [name for name in FORMATS if name != "ICO"])
def test_every_format_is_known_by_its_first_bytes_and_decodes(
    name: str, smooth: Pixels, encode: Encode
) -> None:
    content = encode_as(name, smooth, encode)
    assert image_format(content[:HEAD_BYTES]) == name
    assert file_kind("IMG_0001", lambda: content).is_image
    assert decode(content).shape == smooth.shape


def test_icons_decode(smooth: Pixels, encode: Encode) -> None:
    assert decode(encode(smooth[:64, :64], "ICO", sizes=[(64, 64)])).shape == (64, 64, 3)


@pytest.mark.parametrize("name", ["x.HEIC", "x.avif", "x.JP2", "x.ppm", "x.ico", "x.Jpg", "x.tif"])
def test_names_of_images_are_believed_without_reading(name: str) -> None:
    kind = file_kind(name, lambda: pytest.fail("read"))
    assert kind.is_image and not kind.problem


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("a.nef", b"MM\0*"),
        ("a.DNG", b"II*\0"),
        ("a.psd", b""),
        ("a.svg", b""),
        ("a.jxl", b""),
        ("a", b"8BPS"),
        ("a.bin", b"\0\0\0\x0cJXL "),
        ("a", b'<?xml version="1.0"?>\n<svg xmlns=""/>'),
        ("a", b"II*\0\x10\0\0\0CR\x02\0"),
        ("a", bytes(128) + b"DICM"),
    ],
)
def test_images_of_other_formats_have_a_remedy(name: str, head: bytes) -> None:
    kind = file_kind(name, lambda: head)
    assert kind.is_image and kind.problem.endswith("convert it to PNG or JPEG")


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("notes.txt", b"P3 results"),
        ("labels.csv", b"path,label"),
        ("a.mp4", b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom"),
        ("a.mov", b"\0\0\0\x14ftypqt  \0\0\0\0qt  "),
        ("page.html", b"<!DOCTYPE html>"),
        ("a.pdf", b"%PDF-1.7"),
        ("BMW", b"BMW is a car"),
        ("empty", b""),
    ],
)
def test_other_files_are_no_images(name: str, head: bytes) -> None:
    assert not file_kind(name, lambda: head).is_image


def test_a_file_that_cannot_be_read_is_named() -> None:
    def fail() -> bytes:
        raise PermissionError(13, "Permission denied")

    assert file_kind("IMG_1", fail).problem == "cannot be read (Permission denied)"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"version https://git-lfs.github.com/spec/v1", "git lfs pull"),
        (b'{"message": "Not Found"}', "JSON"),
        (b"PK\x03\x04", "zip"),
        (b"<?xml version='1.0'?><Error>", "XML"),
    ],
)
def test_what_is_found_under_the_name_of_an_image(content: bytes, words: str) -> None:
    assert words in describe_content(content)
