"""A JSON file of any size -> its items, one at a time: memory is that of one item.

A file may come from a stranger: whatever is wrong with it is one `DataError`. Knows nothing of what
the items mean.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ijson

from bestiary.errors import DataError, one_line
from bestiary.regular_files import check_regular

MAX_JSON_BYTES = 1 << 36  # 64 GiB; more is no table of detections
PART_BYTES = 1 << 20
MAX_ITEM_TEXT = 1 << 16  # characters of a path or name in an item


@contextmanager
def json_errors(file: Path) -> Iterator[None]:
    """Turn what a JSON file can do wrong into a `DataError`.

    Args:
        file: Is named in the error.
    """
    try:
        yield
    except OSError as error:
        raise DataError(f"{file}: cannot be read ({error.strerror or error})") from None
    except (ijson.JSONError, ValueError, RecursionError, OverflowError) as error:
        raise DataError(
            f"{file}: is not a whole JSON file ({one_line(error, 80)}); write it again"
        ) from None


def json_items(file: Path, prefix: str) -> Iterator[Any]:
    """Read the items at a place of a JSON file.

    Args:
        file: The file.
        prefix: Place of the items, as ijson names it: `images.item` is each of the list `images`.

    Yields:
        Each item, numbers as float or int.

    Raises:
        DataError: The file is no JSON.
    """
    with json_errors(file):
        check_regular(file, MAX_JSON_BYTES)
        with file.open("rb") as stream:
            yield from ijson.items(stream, prefix, use_float=True)


def json_value(file: Path, prefix: str) -> Any:
    """Read the one value at a place of a JSON file; None where there is none."""
    return next(json_items(file, prefix), None)


def file_has(file: Path, *words: bytes) -> bool:
    """Whether each of some words is anywhere in a file, of which one part is in memory."""
    missing = set(words)
    overlap = max(map(len, words))
    with json_errors(file):
        check_regular(file, MAX_JSON_BYTES)
        with file.open("rb") as stream:
            end = b""
            while missing and (part := stream.read(PART_BYTES)):
                missing = {word for word in missing if word not in end + part}
                end = part[-overlap:]
    return not missing


def first_byte(file: Path) -> bytes:
    """The first byte of a file that is no blank; empty if there is none."""
    with json_errors(file):
        check_regular(file, MAX_JSON_BYTES)
        with file.open("rb") as stream:
            return stream.read(1 << 12).removeprefix(b"\xef\xbb\xbf").strip()[:1]


def text_of(value: object) -> str | None:
    """A value as text; None where it is none, empty or absurdly long."""
    if value is None or isinstance(value, dict | list):
        return None
    text = str(value).strip()
    return text if text and len(text) <= MAX_ITEM_TEXT else None
