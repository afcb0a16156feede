"""A folder whose paths may end with a box: such a file is the image with its box written after it.

A sample that is a part of an image is named ``a.jpg#xywh=percent:10,20,30,40``, as W3C's Media
Fragments name it. Its bytes are those of the image and a mark with the box, which
`bestiary.data.decode` cuts out. So a box is read, hashed, stored and shown as any other image, and
its digest is another one than that of the whole image. Knows nothing of pixels.
"""

import math
import re
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from bestiary.storage.files import Readable, Root, read_file

FRAGMENT = "#xywh=percent:"
DECIMALS = 4  # of a percentage: a hundredth of a pixel in an image of 10,000
MARK = b"\nbestiary.box1\0"
_PACKED = struct.Struct("<4d")
_FRAGMENT = re.compile(r"(.+)#xywh=percent:(\d[\d.]*),(\d[\d.]*),(\d[\d.]*),(\d[\d.]*)", re.DOTALL)
TOLERANCE = 1e-3  # a share by which a box may leave its image: detectors round


class Box(NamedTuple):
    """A part of an image, as shares of its upright width and height.

    Attributes:
        x: Left side, 0 to 1.
        y: Top.
        width: More than 0.
        height: More than 0.
    """

    x: float
    y: float
    width: float
    height: float

    def __str__(self) -> str:
        return ",".join(f"{value:.6f}".rstrip("0").rstrip(".") for value in self)


def checked_box(values: Sequence[float]) -> Box:
    """Make a box of its four numbers.

    Args:
        values: Left, top, width and height as shares of the image.

    Returns:
        The box, rounded to `DECIMALS` of a percent, and within the image where it left it by no
        more than `TOLERANCE`.

    Raises:
        ValueError: It is none; the message is a short reason.

    Example:
        >>> str(checked_box([0.1, 0.25, 0.3, 0.4]))
        '0.1,0.25,0.3,0.4'
        >>> checked_box([0.9, 0.25, 0.3, 0.4])
        Traceback (most recent call last):
        ValueError: box 0.9,0.25,0.3,0.4 lies outside of the image
    """
    if len(values) != 4:
        raise ValueError(f"a box has 4 numbers, not {len(values)}")
    numbers = [float(value) for value in values]
    x, y, width, height = numbers
    if not all(map(math.isfinite, numbers)):
        raise ValueError(f"box {_shown(numbers)} has a value that is no number")
    if width <= 0 or height <= 0:
        raise ValueError(f"box {_shown(numbers)} has no area")
    if min(x, y) < -TOLERANCE or max(x + width, y + height) > 1 + TOLERANCE:
        raise ValueError(f"box {_shown(numbers)} lies outside of the image")
    places = DECIMALS + 2
    left, top = round(max(0.0, x), places), round(max(0.0, y), places)
    right, bottom = round(min(1.0, x + width), places), round(min(1.0, y + height), places)
    box = Box(left, top, round(right - left, places), round(bottom - top, places))
    if box.width <= 0 or box.height <= 0:
        raise ValueError(f"box {_shown(numbers)} has no area")
    return box


def _shown(numbers: Sequence[float]) -> str:
    return ",".join(f"{number:g}" for number in numbers)


def path_with_box(path: str, box: Box) -> str:
    """Name a box of an image.

    Example:
        >>> path_with_box("a/b.jpg", Box(0.1, 0.2, 0.3, 0.45))
        'a/b.jpg#xywh=percent:10,20,30,45'
    """
    percents = (f"{100 * value:.{DECIMALS}f}".rstrip("0").rstrip(".") for value in box)
    return f"{path}{FRAGMENT}{','.join(percents)}"


def split_path(path: str) -> tuple[str, Box | None]:
    """Split the name of a sample into the path of its image and its box.

    Returns:
        The path, and the box; None if the name has none that lies in an image.

    Example:
        >>> split_path("a/b.jpg#xywh=percent:10,20,30,45")
        ('a/b.jpg', Box(x=0.1, y=0.2, width=0.3, height=0.45))
        >>> split_path("a/b#1.jpg")
        ('a/b#1.jpg', None)
    """
    match = _FRAGMENT.fullmatch(path)
    if match is None:
        return path, None
    try:
        return match[1], checked_box([float(percent) / 100 for percent in match.groups()[1:]])
    except ValueError:
        return path, None


def with_box(content: bytes, box: Box) -> bytes:
    """Write a box after the bytes of an image."""
    return content + MARK + _PACKED.pack(*box)


def split_box(content: bytes) -> tuple[bytes, Box | None]:
    """Split bytes as from `with_box`; None where they have no box.

    Example:
        >>> split_box(with_box(b"image", Box(0.1, 0.2, 0.3, 0.4)))
        (b'image', Box(x=0.1, y=0.2, width=0.3, height=0.4))
        >>> split_box(b"image")
        (b'image', None)
    """
    start = len(content) - _PACKED.size
    if not content.endswith(MARK, 0, max(start, 0)):
        return content, None
    try:
        box = checked_box(_PACKED.unpack(content[start:]))
    except ValueError:
        return content, None
    return content[: start - len(MARK)], box


@dataclass(frozen=True, slots=True)
class BoxFile:
    """An image with a box written after it.

    Attributes:
        file: The image.
        box: The part of it.
    """

    file: Readable
    box: Box

    def __str__(self) -> str:
        return path_with_box(str(self.file), self.box)

    def read_bytes(self) -> bytes:
        """Read the image and write the box after it; raises OSError."""
        return with_box(read_file(self.file), self.box)

    def is_file(self) -> bool:
        """Return whether the image exists."""
        return self.file.is_file()

    @property
    def size_bytes(self) -> int:
        """Bytes of `read_bytes` of an image on this disk; raises OSError."""
        size = self.file.stat().st_size if isinstance(self.file, Path) else 0
        return size + len(MARK) + _PACKED.size


@dataclass(frozen=True, slots=True)
class BoxFolder:
    """A folder whose paths may end with a box; other paths are files as in the folder itself.

    Attributes:
        folder: The folder.
    """

    folder: Root

    def __str__(self) -> str:
        return str(self.folder)

    def __truediv__(self, path: str, /) -> Readable:
        image, box = split_path(path)
        return self.folder / path if box is None else BoxFile(self.folder / image, box)

    def is_dir(self) -> bool:
        """Return whether the folder exists."""
        return self.folder.is_dir()

    def resolve(self) -> "BoxFolder":
        """Return the folder under its absolute name."""
        return BoxFolder(self.folder.resolve())
