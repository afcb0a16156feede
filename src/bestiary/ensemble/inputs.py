"""Anything that `predict` accepts as images -> a list of images in its order, and their pixels.

An image may be a path, an address in an object store, the bytes of an image file, an open binary
file, a PIL image, a uint8 array or a uint8 tensor (`bestiary.ensemble.arrays`). What could be
misread is refused by name, with the remedy. Knows nothing of views or networks.
"""

import inspect
import io
import itertools
import os
import threading
from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, Sequence, Set
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, TypeGuard

import numpy as np
import torch
from PIL import Image

from bestiary.data.bit_depth import FULL_RANGE, WhiteLevel
from bestiary.data.decode import DecodingNotes, Pixels, image_error, read_image, to_pixels
from bestiary.data.eval_view import EvalView
from bestiary.ensemble.arrays import array_images, array_pixels
from bestiary.errors import ArgumentError, BestiaryError, ImageError, one_line
from bestiary.storage.files import Readable, StoredFile, is_address

ImageInput = (
    str
    | os.PathLike[str]
    | Readable
    | bytes
    | bytearray
    | memoryview
    | IO[bytes]
    | Image.Image
    | Pixels
    | torch.Tensor
)
ImageInputs = ImageInput | Iterable[ImageInput]

ACCEPTED = "paths, bytes, binary files, PIL images, uint8 arrays and uint8 tensors"
# Images that are taken from an iterator at a time. A multiple of every batch size.
PART_SIZE = 1024
MAX_NAME_LENGTH = 200  # characters of a path that an error quotes

_BYTES = (bytes, bytearray, memoryview)
_ARRAYS = (np.ndarray, torch.Tensor)
_ORDERED_SETS = (KeysView, ItemsView, Sequence)
_TABLES = ("DataFrame", "LazyFrame", "Table")

# A file object and a lazy PIL image change while they are read. The same one may stand in several
# places or calls, so it is read under a lock, one of a few that all objects share.
_LOCKS = [threading.Lock() for _ in range(64)]


@dataclass(frozen=True, slots=True)
class ImagePart:
    """Consecutive images of a call.

    Attributes:
        images: the images; each is accessed once.
        start: index of the first one among all images of the call.
        named: whether an error gives the index of an image; false for a single image.
    """

    images: Sequence[ImageInput]
    start: int = 0
    named: bool = True

    @property
    def can_be_inherited(self) -> bool:
        """Whether a forked process can read the images too: local paths, bytes and pixels can.

        A file object's position and a connection to a store would be shared with this process.
        """
        is_local = getattr(self.images, "is_local", None)
        if is_local is None:
            is_local = isinstance(self.images, list) and all(map(_is_local, self.images))
        return bool(is_local)

    def name(self, row: int) -> str:
        """Name an image in an error: its index, and its path or address if it has one."""
        path = _path_of(self.images[row])
        if not self.named:
            return path or "the image"
        index = f"image {self.start + row}"
        return f"{index}, {path}" if path else index

    def pixels(self, row: int, view: EvalView, notes: DecodingNotes | None = None) -> Pixels:
        """Decode an image.

        Args:
            row: of the image in this part.
            view: says how an image file is decoded.
            notes: takes what was assumed of an image file.

        Returns:
            RGB pixels, uint8 (height, width, 3).

        Raises:
            ImageError: the image cannot be decoded.
            ArgumentError: it is of another type or shape.
        """
        try:
            return _load_pixels(self.images[row], view, notes)
        except ArgumentError as error:
            raise ArgumentError(f"{self.name(row)}: {error}") from None

    def check(self) -> None:
        """Check the types of all images before the first one is computed.

        Raises:
            ArgumentError: one of them is no image.
        """
        for row, image in enumerate(self.images):
            try:
                _check_type(image)
            except ArgumentError as error:
                raise ArgumentError(f"{self.name(row)}: {error}") from None


def image_parts(images: Any, white: WhiteLevel = FULL_RANGE) -> Iterator[ImagePart]:
    """Take one image or several in their own order, as one part or several.

    Args:
        images: an image, an iterable of them, or an array or tensor of a batch of them. Of an
            iterator, `PART_SIZE` are taken at a time, copied where the iterator may change them.
        white: value of white in PIL images of more than 8 bits that do not state it.

    Returns:
        The parts, in order.

    Raises:
        ArgumentError: `images` is neither.

    Example:
        >>> [part.images for part in image_parts(("a.jpg", "b.jpg"))]
        [['a.jpg', 'b.jpg']]
    """
    if isinstance(images, _ARRAYS):
        listed = array_images(images)
        is_one = len(listed) == 1 and listed[0] is images
        return _checked_part(ImagePart(listed, named=not is_one))
    if _is_single(images):
        return _checked_part(ImagePart([images], named=False))
    _check_iterable(images)
    if isinstance(images, Iterator):
        return _parts_of_iterator(images, white)
    if isinstance(images, Sequence) and not isinstance(images, (list, tuple)):
        return iter([ImagePart(images)])  # may be too many to be listed
    return _checked_part(ImagePart(list(images)))


def _checked_part(part: ImagePart) -> Iterator[ImagePart]:
    part.check()
    return iter([part])


def _parts_of_iterator(images: Iterator[ImageInput], white: WhiteLevel) -> Iterator[ImagePart]:
    start = 0
    while taken := [_keep(image, white) for image in itertools.islice(images, PART_SIZE)]:
        part = ImagePart(taken, start)
        part.check()
        yield part
        start += len(taken)


def _keep(image: ImageInput, white: WhiteLevel) -> ImageInput:
    """Copy an image that its iterator may close or fill with the next one."""
    try:
        _check_type(image)
        if isinstance(image, Image.Image):
            return _pil_pixels(image, white)
        if isinstance(image, _ARRAYS):
            return array_pixels(image).copy()
        if isinstance(image, (bytearray, memoryview)):
            return bytes(image)
        is_path = isinstance(image, (str, bytes, os.PathLike)) or _is_readable(image)
        return image if is_path else _read_file(image)
    except (ArgumentError, ImageError):
        return image  # fails again, and is named, in its part


def _is_local(image: ImageInput) -> bool:
    if isinstance(image, str):
        return not is_address(image)
    return isinstance(image, (bytes, Path, np.ndarray))


def _is_file(image: Any) -> bool:
    return not isinstance(image, type) and callable(getattr(image, "read", None))


def _is_readable(image: Any) -> TypeGuard[Readable]:
    return isinstance(image, Readable) and not isinstance(image, type)


def _is_single(images: Any) -> bool:
    """Return whether `images` is one image, be it readable or not."""
    if isinstance(images, (str, os.PathLike, Image.Image, *_BYTES)):
        return True
    return _is_readable(images) or _is_file(images)


def _check_iterable(images: ImageInputs) -> None:
    """Refuse what is no image and has no images in an order."""
    kind = type(images).__name__
    if isinstance(images, Mapping):
        raise ArgumentError(f"{kind}: is no list of images; pass its values, list(images.values())")
    is_unordered = isinstance(images, Set) and not isinstance(images, _ORDERED_SETS)
    if is_unordered:
        raise ArgumentError(f"{kind}: has no order for the answers; pass sorted(images)")
    if any(base.__name__ in _TABLES for base in type(images).__mro__):
        raise ArgumentError(f"{kind}: is a table; pass one column, such as df['path']")
    if not isinstance(images, Iterable) or isinstance(images, type):
        raise _no_image(images)


def _check_type(image: ImageInput) -> None:
    """Refuse an object that is no image, without reading it."""
    if isinstance(image, io.TextIOBase):
        raise ArgumentError(
            f"{type(image).__name__}: is open as text; open an image by open(path, 'rb'), and pass "
            "a list of paths as file.read().splitlines()"
        )
    if isinstance(image, memoryview) and (image.ndim != 1 or image.itemsize != 1):
        raise ArgumentError("memoryview: has no plain bytes; pass pixels as numpy.asarray(image)")
    if isinstance(image, _ARRAYS):
        array_pixels(image)
    elif not _is_single(image):
        raise _no_image(image)


def _load_pixels(image: ImageInput, view: EvalView, notes: DecodingNotes | None) -> Pixels:
    _check_type(image)
    if isinstance(image, _ARRAYS):
        return array_pixels(image)
    if isinstance(image, Image.Image):
        return _pil_pixels(image, view.white)
    return view.decode(read_content(image), notes)


def _pil_pixels(image: Image.Image, white: WhiteLevel) -> Pixels:
    if 0 in image.size:
        raise ImageError("has no pixels")
    with _lock_of(image):
        try:
            return to_pixels(image, white=white)
        except Exception as error:  # a decoder raises anything on hostile bytes
            raise image_error(error) from None


def read_content(image: ImageInput) -> bytes:
    """Read the bytes of an image file, wherever they are.

    Args:
        image: a path, an address, bytes or a binary file; no pixels.

    Raises:
        ImageError: it cannot be read.
        ArgumentError: it gives no bytes.
    """
    if isinstance(image, _BYTES):
        content = bytes(image)
        if not content:
            raise ImageError("has no bytes")
        return content
    if isinstance(image, str):
        return _read_path(str.__str__(image))  # the value of a str enum, not its name
    if _is_readable(image):
        return _read_readable(image)
    if isinstance(image, os.PathLike):
        return _read_path(os.fsdecode(image))
    with _lock_of(image):
        return _read_file(image)


def _read_path(path: str) -> bytes:
    if not path:
        raise ImageError("an empty path")
    return _read_readable(StoredFile(path) if is_address(path) else Path(path))


def _read_readable(file: Readable) -> bytes:
    try:
        content = read_image(file)
    except ImageError:
        if isinstance(file, Path) and os.path.isdir(file):
            raise ImageError("is a folder; pass a list of the images in it") from None
        raise
    except BestiaryError:
        raise
    except Exception as error:  # a path that no file system can have, or another library's object
        raise ImageError(f"cannot be read ({one_line(error)})") from None
    return _check_bytes(content, f"{type(file).__name__}.read_bytes()")


def _read_file(file: Any) -> bytes:
    """Read a binary file from its start, as Pillow does, and put its position back.

    A stream that cannot be rewound is read from where it is.
    """
    position = None
    try:
        position = file.tell()
        file.seek(0)
    except (AttributeError, OSError, TypeError, ValueError):
        position = None
    try:
        content = file.read()
        if position is not None:
            file.seek(position)
    except Exception as error:  # archives and networks raise anything
        raise ImageError(f"cannot be read ({one_line(error)})") from None

    checked = _check_bytes(content, f"{type(file).__name__}.read()")
    if not checked:
        raise ImageError("empty file; a stream can be read only once")
    return checked


def _check_bytes(content: Any, source: str) -> bytes:
    """Trust no object for its looks: only what it gives can be an image."""
    if isinstance(content, _BYTES):
        return bytes(content)
    if inspect.iscoroutine(content):
        content.close()
    raise ArgumentError(
        f"{source} gives {type(content).__name__}, not bytes; open a file by open(path, 'rb')"
    )


def _lock_of(image: object) -> threading.Lock:
    return _LOCKS[id(image) // 16 % len(_LOCKS)]  # objects are 16 bytes apart


def _no_image(image: object) -> ArgumentError:
    """Compose the error for an object that is no image, with the remedy for its kind."""
    kind = type(image).__name__
    is_nan = isinstance(image, (float, np.floating)) and bool(np.isnan(image))
    if image is None or is_nan or kind in ("NAType", "NaTType"):
        return ArgumentError(f"{image}: is no image; leave missing paths out, df.dropna()")
    if isinstance(image, (list, tuple)):
        return ArgumentError(f"{kind}: is no image; pass one flat list of images")
    if hasattr(image, "__array__"):
        return ArgumentError(f"{kind}: is no image; pass numpy.asarray(image)")
    return ArgumentError(f"{kind}: is no image; images are {ACCEPTED}")


def place_of(image: ImageInput) -> str:
    """Return the path or address of an image, as it was given; empty where it has none.

    Args:
        image: one of those that `image_parts` takes.

    Example:
        >>> place_of(Path("new") / "a.jpg"), place_of(b"...")
        ('new/a.jpg', '')
    """
    if isinstance(image, str):
        return str.__str__(image)
    if isinstance(image, os.PathLike):
        return os.fsdecode(image)
    return str(image) if _is_readable(image) else ""


def _path_of(image: ImageInput) -> str:
    """The path or address of an image for one line of an error; empty where it has none."""
    path = place_of(image)
    shown = path if path.isprintable() else ascii(path)
    return shown if len(shown) <= MAX_NAME_LENGTH else f"{shown[:MAX_NAME_LENGTH]}..."
