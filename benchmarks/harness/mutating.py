"""Files -> damaged files: flipped bytes, cut ends, foreign pieces, forged numbers; seeded."""

import re
import struct
from collections.abc import Callable
from io import BytesIO

import numpy as np
from PIL import Image

FORMATS = ("JPEG", "PNG", "WEBP", "GIF", "TIFF", "BMP")
ODD_NUMBERS = (
    b"-1",
    b"0",
    b"1e999",
    b"nan",
    b"99999999999999999999",
    b"9" * 5000,
    b"0x" + b"f" * 6000,
    b"null",
    b"[]",
)
ODD_TEXTS = (
    b"\x00",
    b"\xff\xfe",
    b"../../etc/passwd",
    b'"',
    b"\r\n\r\n",
    b"=cmd()",
    b"[" * 100_000,
    b"{" * 5_000,
)
Rng = np.random.Generator


def seed_images(rng: Rng) -> list[tuple[str, bytes]]:
    """Whole images (name, bytes) of every format that bestiary reads, in several modes."""
    images = []
    for name in FORMATS:
        for mode, options in _variants(name):
            noise = rng.integers(0, 256, (24, 32, 3), np.uint8)
            smooth = np.asarray(Image.fromarray(noise).resize((96, 72), Image.Resampling.BICUBIC))
            image = Image.fromarray(smooth).convert(mode)
            buffer = BytesIO()
            image.save(buffer, name, **options)
            images.append((f"{name} {mode}", buffer.getvalue()))
    return images


def _variants(name: str) -> list[tuple[str, dict[str, object]]]:
    exif = Image.Exif()
    exif[0x0112] = 6
    frames = {"save_all": True, "append_images": [Image.new("RGB", (96, 72), "red")]}
    return {
        "JPEG": [("RGB", {"exif": exif}), ("L", {}), ("CMYK", {}), ("RGB", {"progressive": True})],
        "PNG": [("RGB", {}), ("RGBA", {}), ("P", {}), ("I;16", {}), ("1", {})],
        "WEBP": [("RGB", {}), ("RGBA", {"lossless": True}), ("RGB", frames)],
        "GIF": [("P", {}), ("RGB", frames)],
        "TIFF": [
            ("RGB", {}),
            ("L", {"compression": "tiff_lzw"}),
            ("F", {}),
            ("RGB", {"compression": "jpeg"}),
        ],
        "BMP": [("RGB", {})],
    }[name]


def mutate_image(content: bytes, rng: Rng) -> bytes:
    """Damage an image one to three times."""
    for _ in range(int(rng.integers(1, 4))):
        content = _IMAGE[int(rng.integers(len(_IMAGE)))](content, rng)
    return content


def mutate_text(content: bytes, rng: Rng) -> bytes:
    """Damage a table, a recipe or another file of a run one to three times."""
    for _ in range(int(rng.integers(1, 4))):
        content = _TEXT[int(rng.integers(len(_TEXT)))](content, rng)
    return content


def _flip(content: bytes, rng: Rng) -> bytes:
    changed = bytearray(content)
    for position in rng.integers(0, max(1, len(content)), int(rng.integers(1, 9))):
        if len(changed):
            changed[position] ^= int(rng.integers(1, 256))
    return bytes(changed)


def _flip_early(content: bytes, rng: Rng) -> bytes:
    return _flip(content[:128], rng) + content[128:]


def _cut(content: bytes, rng: Rng) -> bytes:
    return content[: int(rng.integers(0, len(content) + 1))]


def _drop(content: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2))
    return content[:start] + content[min(end, start + 64) :]


def _repeat(content: bytes, rng: Rng) -> bytes:
    start, end = sorted(rng.integers(0, len(content) + 1, 2))
    return (
        content[:end]
        + content[start : min(end, start + 256)] * int(rng.integers(1, 20))
        + content[end:]
    )


def _forge(content: bytes, rng: Rng) -> bytes:
    """Write a large number where the header may have a size."""
    if len(content) < 12:
        return content
    kind = (">I", "<I", ">H", "<H")[int(rng.integers(4))]
    largest = 0xFFFFFFFF if kind[1] == "I" else 0xFFFF
    value = (0, 1, 13_000, 50_000, 65_535, 0x7FFFFFFF, largest)[int(rng.integers(7))]
    position = int(rng.integers(4, min(len(content) - 4, 400)))
    size = struct.calcsize(kind)
    return content[:position] + struct.pack(kind, min(value, largest)) + content[position + size :]


def _forge_size(content: bytes, rng: Rng) -> bytes:
    """Change height and width where the image's format has them."""
    number = (72).to_bytes(2, "big") if content[:2] == b"\xff\xd8" else b""
    side = int((0, 1, 5_000, 13_000, 50_000, 65_535)[int(rng.integers(6))])
    forged = bytearray(content)
    if number and (position := content.find(number + (96).to_bytes(2, "big"))) > 0:
        forged[position : position + 4] = struct.pack(">HH", side & 0xFFFF, side & 0xFFFF)
    elif content[:4] == b"\x89PNG":
        import zlib

        forged[16:24] = struct.pack(">II", side, side)
        forged[29:33] = struct.pack(
            ">I", zlib.crc32(bytes(forged[12:29]))
        )  # or the header would not be believed
    elif content[:3] == b"GIF":
        forged[6:10] = struct.pack("<HH", side & 0xFFFF, side & 0xFFFF)
    elif content[:2] == b"BM":
        forged[18:26] = struct.pack("<ii", side, side)
    return bytes(forged)


def _number(content: bytes, rng: Rng) -> bytes:
    found = list(re.finditer(rb"-?\d+(\.\d+)?", content))
    if not found:
        return content
    position = found[int(rng.integers(len(found)))]
    return (
        content[: position.start()]
        + ODD_NUMBERS[int(rng.integers(len(ODD_NUMBERS)))]
        + content[position.end() :]
    )


def _insert(content: bytes, rng: Rng) -> bytes:
    position = int(rng.integers(0, len(content) + 1))
    return content[:position] + ODD_TEXTS[int(rng.integers(len(ODD_TEXTS)))] + content[position:]


def _swap_words(content: bytes, rng: Rng) -> bytes:
    """Replace one word of the file by another."""
    words = list(re.finditer(rb"[\w.]+", content))
    if len(words) < 2:
        return content
    one, other = (words[int(n)] for n in rng.integers(len(words), size=2))
    return content[: one.start()] + other.group() + content[one.end() :]


Damage = Callable[[bytes, Rng], bytes]
_IMAGE: tuple[Damage, ...] = (_flip, _flip_early, _cut, _drop, _repeat, _forge, _forge_size)
_TEXT: tuple[Damage, ...] = (
    _flip,
    _cut,
    _drop,
    _repeat,
    _forge,
    _number,
    _number,
    _insert,
    _swap_words,
    _swap_words,
)
