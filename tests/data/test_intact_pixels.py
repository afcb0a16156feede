"""Damaged metadata never vetoes pixels, and missing pixels are never accepted."""

import io
import struct
import zlib
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, PngImagePlugin, TiffImagePlugin

from bestiary.data.decode import Pixels, claimed_size, decode
from bestiary.data.image_info import inspect_image
from bestiary.data.intact_pixels import has_damaged_metadata, with_end_mark
from bestiary.data.quality_warnings import quality_warning
from bestiary.errors import ImageError

Encode = Callable[..., bytes]
END_MARK = b"\xff\xd9"


def png_with_chunk(pixels: Pixels, name: bytes, body: bytes, checksum: int | None = None) -> bytes:
    """A PNG with a chunk behind its header, and with the right checksum unless one is given."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    content = buffer.getvalue()
    right = zlib.crc32(name + body)
    stated = struct.pack(">I", right if checksum is None else checksum)
    chunk = struct.pack(">I", len(body)) + name + body + stated
    return content[:33] + chunk + content[33:]


@pytest.mark.parametrize("name", [b"tEXt", b"iTXt", b"zTXt", b"tIME", b"pHYs", b"gAMA", b"eXIf"])
def test_a_wrong_checksum_in_metadata_of_a_png(name: bytes, smooth: Pixels) -> None:
    content = png_with_chunk(smooth, name, b"Comment\0some words", checksum=1)
    assert np.array_equal(decode(content), smooth)
    assert has_damaged_metadata(content)
    warning = quality_warning("a.png", inspect_image(content, "0"))
    assert warning == "damaged metadata: the pixels are complete"


@pytest.mark.parametrize(
    "body", [b"", b"garbage", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\0\xff"]
)
def test_a_broken_exif_chunk_of_a_png(body: bytes, smooth: Pixels) -> None:
    assert np.array_equal(decode(png_with_chunk(smooth, b"eXIf", body)), smooth)


@pytest.mark.parametrize("body", [b"", b"garbage", b"Exif\0\0II*\0\xff\xff\xff\xff"])
@pytest.mark.parametrize("kind", ["WEBP", "JPEG"])
def test_broken_exif_of_other_formats(
    kind: str, body: bytes, smooth: Pixels, encode: Encode
) -> None:
    plain = decode(encode(smooth, kind, quality=90))
    assert np.array_equal(decode(encode(smooth, kind, quality=90, exif=body)), plain)


def test_damage_in_the_pixels_of_a_png(smooth: Pixels, encode: Encode) -> None:
    whole = encode(smooth, "PNG")
    start = whole.index(b"IDAT") + 4
    for position in range(start, len(whole) - 16, 501):
        content = bytearray(whole)
        content[position] ^= 0xFF
        with pytest.raises(ImageError):
            decode(bytes(content))


def test_a_wrong_checksum_beside_whole_pixels_of_a_png(smooth: Pixels, encode: Encode) -> None:
    content = bytearray(encode(smooth, "PNG"))
    content[-13] ^= 0xFF  # the last byte of the checksum of IDAT; IEND has 12 bytes
    assert np.array_equal(decode(bytes(content)), smooth)


def test_text_that_is_too_long_does_not_hide_the_pixels(smooth: Pixels) -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1))
    assert np.array_equal(decode(png_with_chunk(smooth, b"zTXt", bomb)), smooth)


def test_text_that_is_too_long_does_not_hide_damage(smooth: Pixels) -> None:
    bomb = b"Comment\0\0" + zlib.compress(bytes(PngImagePlugin.MAX_TEXT_CHUNK + 1))
    content = bytearray(png_with_chunk(smooth, b"zTXt", bomb))
    content[-17] ^= 0xFF  # the last byte of the stream's own checksum, which Pillow does not read
    content[-13] ^= 0xFF  # and of the chunk's; IEND has 12 bytes
    with pytest.raises(ImageError):
        decode(bytes(content))


@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("tail", [b"", b"\0\0\0", b"\r\n"])
def test_a_jpeg_without_its_end_mark(
    progressive: bool, tail: bytes, smooth: Pixels, encode: Encode
) -> None:
    content = encode(smooth, progressive=progressive, quality=90)
    assert content.endswith(END_MARK)
    cut = content[:-2] + tail
    assert np.array_equal(decode(cut), decode(content))
    assert has_damaged_metadata(cut)


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_without_its_last_blocks_is_truncated(
    progressive: bool, smooth: Pixels, encode: Encode, refusal: Callable[[bytes], str]
) -> None:
    content = encode(smooth, progressive=progressive, quality=90)
    for n_missing in (40, len(content) // 2):
        assert "truncated" in refusal(content[:-n_missing])


def test_a_progressive_jpeg_between_two_scans_is_truncated(
    smooth: Pixels, encode: Encode, refusal: Callable[[bytes], str]
) -> None:
    """What was sent decodes without a warning, at a lower quality."""
    content = encode(smooth, progressive=True, quality=90)
    scans = [index for index in range(len(content)) if content.startswith(b"\xff\xda", index)]
    assert len(scans) > 2
    # The tables of a scan stand between the end of the previous one and its header.
    for scan in scans[1:]:
        tables = content.rindex(b"\xff\xc4", 0, scan)
        assert with_end_mark(content[:tables]) is None
        assert "truncated" in refusal(content[:tables])


@pytest.mark.parametrize("progressive", [False, True])
def test_a_jpeg_that_was_cut_and_closed_again_is_damaged(
    progressive: bool, smooth: Pixels, encode: Encode, refusal: Callable[[bytes], str]
) -> None:
    """libjpeg fills what is missing with gray and warns; Pillow hears no warning."""
    content = encode(smooth, progressive=progressive, quality=90)
    for share in (0.4, 0.9):
        cut = content[: int(len(content) * share)]
        assert refusal(cut + END_MARK)


def test_bytes_between_the_segments_of_a_jpeg_are_no_damage(smooth: Pixels, encode: Encode) -> None:
    content = encode(smooth, quality=90)
    scan = content.index(b"\xff\xda")
    assert np.array_equal(decode(content[:scan] + b"zz" + content[scan:]), decode(content))


def test_an_alpha_channel_of_zeros_is_ignored(smooth: Pixels, encode: Encode) -> None:
    clear = np.dstack([smooth, np.zeros(smooth.shape[:2], np.uint8)])
    content = encode(clear, "PNG")
    assert np.array_equal(decode(content), smooth)
    warning = quality_warning("a.png", inspect_image(content, "0"))
    assert warning == "transparent all over: the alpha channel is ignored"

    clear[0, 0, 3] = 255  # one pixel shows: the channel means something
    assert decode(encode(clear, "PNG"))[5, 5].tolist() == [255, 255, 255]


def tiff_of(*pages: Image.Image, kinds: dict[int, int] | None = None) -> bytes:
    """A TIFF of several pages; kinds: page -> NewSubfileType."""
    buffer = io.BytesIO()
    images = []
    for number, page in enumerate(pages):
        info = TiffImagePlugin.ImageFileDirectory_v2()
        info[254] = (kinds or {}).get(number, 0)
        page.encoderinfo = {"tiffinfo": info}  # type: ignore[attr-defined]
        images.append(page)
    first = images[0]
    first.save(
        buffer,
        "TIFF",
        save_all=True,
        append_images=images[1:],
        tiffinfo=first.encoderinfo["tiffinfo"],  # type: ignore[attr-defined]
    )
    return buffer.getvalue()


@pytest.mark.parametrize("kinds", [{}, {0: 1}])
def test_a_thumbnail_page_is_not_the_image(kinds: dict[int, int], smooth: Pixels) -> None:
    large = Image.fromarray(smooth)
    content = tiff_of(large.resize((31, 23)), large, kinds=kinds)
    assert np.array_equal(decode(content), smooth)
    assert claimed_size(content) == smooth.shape[:2]


def test_a_larger_preview_or_mask_is_not_the_image(smooth: Pixels) -> None:
    large = Image.fromarray(smooth)
    for kind in (1, 4):
        content = tiff_of(large.resize((620, 460)), large, kinds={0: kind})
        assert np.array_equal(decode(content), smooth)


def test_pages_of_one_size_give_the_first(smooth: Pixels) -> None:
    pages = [Image.fromarray(smooth), Image.fromarray(255 - smooth)]
    assert np.array_equal(decode(tiff_of(*pages)), smooth)
