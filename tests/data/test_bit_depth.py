"""More than 8 bits: the file's own word, else the range of the dataset, never that of one image."""

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, TiffImagePlugin

from bestiary.data.bit_depth import FULL_RANGE, WhiteLevel, guess_white, white_of_dataset
from bestiary.data.decode import decode
from bestiary.data.listing import list_labeled
from bestiary.data.manifest import read_manifest
from bestiary.errors import ImageError

Encode = Callable[..., bytes]
Values = NDArray[np.generic]


def ramp(white: float, kind: type = np.uint16) -> Values:
    """Gray (64, 256) from 0 to white."""
    return np.tile(np.linspace(0, white, 256), (64, 1)).astype(kind)


def tiff(values: Values, tags: dict[int, object] | None = None) -> bytes:
    buffer = io.BytesIO()
    info = TiffImagePlugin.ImageFileDirectory_v2()
    for tag, value in (tags or {}).items():
        info[tag] = value
    Image.fromarray(values).save(buffer, "TIFF", tiffinfo=info)
    return buffer.getvalue()


def packed_12_bit_tiff(values: Values) -> bytes:
    """A TIFF of 12 bits a sample, two samples in three bytes, as microscopes write it."""
    height, width = values.shape
    pairs = values.reshape(-1, 2).astype(np.uint32)
    packed = np.stack(
        [
            pairs[:, 0] >> 4,
            ((pairs[:, 0] & 15) << 4) | (pairs[:, 1] >> 8),
            pairs[:, 1] & 255,
        ],
        axis=1,
    )
    data = packed.astype(np.uint8).tobytes()
    entries = [
        (256, 4, width),
        (257, 4, height),
        (258, 3, 12),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 8),
        (277, 3, 1),
        (278, 4, height),
        (279, 4, len(data)),
    ]
    directory = struct.pack("<H", len(entries))
    for tag, kind, value in entries:
        directory += struct.pack("<HHII", tag, kind, 1, value)
    return b"II*\0" + struct.pack("<I", 8 + len(data)) + data + directory + bytes(4)


def png(values: Values, significant_bits: int = 0) -> bytes:
    """A 16-bit gray PNG with an sBIT chunk."""
    buffer = io.BytesIO()
    Image.fromarray(values).save(buffer, "PNG")
    content = buffer.getvalue()
    if not significant_bits:
        return content
    body = b"sBIT" + bytes([significant_bits])
    chunk = struct.pack(">I", 1) + body + struct.pack(">I", zlib.crc32(body))
    return content[:33] + chunk + content[33:]  # behind the header


def assert_is_ramp(pixels: Values) -> None:
    assert pixels.min() == 0 and pixels.max() == 255
    expected = np.tile(np.arange(256), (64, 1))
    assert np.abs(pixels[..., 0].astype(int) - expected).max() <= 1
    assert (pixels[..., :1] == pixels).all()


S_MAX_SAMPLE_VALUE = 341
STATED = {
    "12-bit TIFF": lambda: packed_12_bit_tiff(ramp(4095)),
    "SMaxSampleValue": lambda: tiff(ramp(4095), {S_MAX_SAMPLE_VALUE: 4095}),
    "SMaxSampleValue of 10 bits": lambda: tiff(ramp(1023), {S_MAX_SAMPLE_VALUE: 1023}),
    "sBIT, not scaled": lambda: png(ramp(4095), 12),
    "sBIT, zeros below": lambda: png(ramp(4095) << 4, 12),
    "sBIT, bits repeated": lambda: png((ramp(4095) << 4) | (ramp(4095) >> 8), 12),
}


@pytest.mark.parametrize("name", STATED)
@pytest.mark.parametrize("white", [FULL_RANGE, WhiteLevel(16383, 255)])
def test_the_word_of_the_file_decides(name: str, white: WhiteLevel) -> None:
    assert_is_ramp(decode(STATED[name](), white=white))


@pytest.mark.parametrize(
    ("content", "white"),
    [
        (tiff(ramp(4095)), WhiteLevel(integers=4095)),
        (png(ramp(1023)), WhiteLevel(integers=1023)),
        (png(ramp(65535)), FULL_RANGE),
        (tiff(ramp(255, np.float32)), WhiteLevel(floats=255)),
        (tiff(ramp(1, np.float32)), FULL_RANGE),
        (tiff(ramp(4095, np.float32)), WhiteLevel(floats=4095)),
    ],
)
def test_else_the_range_of_the_dataset_decides(content: bytes, white: WhiteLevel) -> None:
    assert_is_ramp(decode(content, white=white))


def test_one_dark_image_stays_dark() -> None:
    dark = decode(png(ramp(4095)), white=WhiteLevel(integers=16383))
    assert dark.max() == 64


def test_floats_that_overshoot_are_cut_off() -> None:
    values = ramp(1.02, np.float32) - 0.01
    pixels = decode(tiff(values))
    assert pixels.min() == 0 and pixels.max() == 255
    assert abs(int(pixels[0, 128, 0]) - 255 * values[0, 128]) < 1


@pytest.mark.parametrize("lowest", [-0.2, -5.0])
def test_floats_far_below_zero_are_refused(lowest: float) -> None:
    values = ramp(1, np.float32)
    values[0, 0] = lowest
    with pytest.raises(ImageError, match="outside 0"):
        decode(tiff(values))


def test_gray_where_zero_is_white_is_inverted() -> None:
    content = bytearray(tiff(ramp(65535)))
    entry = struct.pack("<HHI", 262, 3, 1)
    start = content.index(entry) + len(entry)
    content[start : start + 2] = struct.pack("<H", 0)
    assert np.array_equal(decode(bytes(content)), 255 - decode(tiff(ramp(65535))))


@pytest.mark.parametrize("kind", [".png", ".tiff"])
def test_colors_of_16_bits(kind: str) -> None:
    """A 12-bit camera's RGB in a 16-bit file, of which Pillow alone takes the high byte."""
    colors = np.stack([ramp(4095), ramp(4095)[:, ::-1], ramp(2047)], axis=2)
    encoded = cv2.imencode(kind, colors[..., ::-1])[1].tobytes()
    pixels = decode(encoded, white=WhiteLevel(integers=4095))
    expected = np.rint(colors / 4095 * 255)
    assert np.abs(pixels - expected).max() <= 1

    full = cv2.imencode(kind, (colors * 16)[..., ::-1])[1].tobytes()
    with Image.open(io.BytesIO(full)) as by_pillow:
        difference = decode(full).astype(int) - np.asarray(by_pillow.convert("RGB"))
    assert np.abs(difference).max() <= 1


def test_transparent_16_bit_colors_are_laid_over_white() -> None:
    colors = np.stack([ramp(65535)] * 3 + [np.full((64, 256), 32768, np.uint16)], axis=2)
    pixels = decode(cv2.imencode(".png", colors)[1].tobytes())
    assert abs(int(pixels[0, 0, 0]) - 127) <= 1 and pixels[0, -1, 0] == 255


@pytest.mark.parametrize(
    ("kind", "largest", "white"),
    [
        ("integers", 200, 255),
        ("integers", 256, 1023),
        ("integers", 4095, 4095),
        ("integers", 4096, 16383),
        ("integers", 65535, 65535),
        ("floats", 0.3, 1),
        ("floats", 1.02, 1),
        ("floats", 255.0, 255),
        ("floats", 261.0, 255),
        ("floats", 4000.0, 4095),
    ],
)
def test_usual_values_of_white(kind: str, largest: float, white: float) -> None:
    assert guess_white(kind, largest) == white  # type: ignore[arg-type]


def test_white_of_a_dataset_is_from_all_images() -> None:
    assert white_of_dataset([("", 0), ("integers", 100), ("integers", 4000)]) == WhiteLevel(4095)
    assert white_of_dataset([("", 0)]) == FULL_RANGE


def test_a_manifest_names_its_white_and_dark_images(tmp_path: Path) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        for number, white in enumerate((4095, 3000, 300)):
            values = ramp(white) + np.uint16(number)
            (tmp_path / label / f"{number}.png").write_bytes(png(values))
    manifest = read_manifest(list_labeled(tmp_path))
    assert manifest.white == WhiteLevel(integers=4095)
    assert manifest.n_deep == 6
    dark = manifest.table.filter(manifest.table["warning"].str.contains("dark"))
    assert dark["path"].to_list() == ["a/2.png", "b/2.png"]
    assert "values reach 302 of 4095" in dark["warning"][0]


def test_a_large_deep_image_takes_little_memory() -> None:
    """The peak is in strips: the result, the samples and a few megabytes."""
    import tracemalloc

    values = np.tile(np.arange(4096, dtype=np.uint16) * 16, (4096, 1))
    content = cv2.imencode(".png", values)[1].tobytes()
    tracemalloc.start()
    pixels = decode(content)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pixels.nbytes == 3 * values.size
    assert peak < 8 * values.size + 40_000_000


@pytest.mark.parametrize(
    ("content", "white"),
    [
        (tiff(ramp(255, np.float32)), FULL_RANGE),
        (png(ramp(65535)), WhiteLevel(integers=4095)),
        (tiff(ramp(4095, np.float32)), WhiteLevel(floats=255)),
    ],
)
def test_values_far_above_white_are_no_white_page(content: bytes, white: WhiteLevel) -> None:
    with pytest.raises(ImageError, match="where white is"):
        decode(content, white=white)


def test_a_kind_of_tiff_that_is_not_read_is_no_other_file() -> None:
    floats = np.stack([ramp(1, np.float32)] * 3, axis=2)
    with pytest.raises(ImageError, match="a kind of TIFF that is not read"):
        decode(cv2.imencode(".tiff", floats)[1].tobytes())
