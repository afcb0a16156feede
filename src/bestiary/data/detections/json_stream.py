"""A JSON file of any size -> its members, read once: memory is that of one item of a list.

The standard library's decoder reads one value after the other; what is done here is to find them. A
file may come from a stranger: whatever is wrong with it is one `DataError`. Knows nothing of what
the items mean.
"""

import json
import math
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from bestiary.errors import DataError, one_line
from bestiary.regular_files import check_regular

MAX_JSON_BYTES = 1 << 36  # 64 GiB; more is no table of detections
PART_BYTES = 1 << 20
MAX_ITEM_CHARACTERS = 1 << 26  # of one image with its boxes
MAX_ITEM_TEXT = 1 << 16  # characters of a path or name in an item
_BLANKS = re.compile(r"[ \t\n\r]*")


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
    except (ValueError, RecursionError, OverflowError) as error:
        raise DataError(
            f"{file}: is not a whole JSON file ({one_line(error, 80)}); write it again"
        ) from None


def json_members(
    file: Path, items: Sequence[str] = (), values: Sequence[str] = ()
) -> Iterator[tuple[str, Any]]:
    """Read some members of the object that a JSON file is, in the order of the file.

    Args:
        file: The file.
        items: Keys of lists, which are read item by item. That of a file that is itself a list is
            empty.
        values: Keys of values that are read as a whole.

    Yields:
        Key and item, or key and value. What has other keys is skipped.

    Raises:
        DataError: The file is no JSON, or one of `items` is no list.
    """
    with json_errors(file):
        check_regular(file, MAX_JSON_BYTES)
        with file.open(encoding="utf-8-sig", newline="") as stream:
            text = _Text(file, stream)
            if text.peek() == "[":
                yield from (("", item) for item in text.items() if "" in items)
            else:
                for key in text.members():
                    if text.peek() == "[" and key not in values:
                        yield from ((key, item) for item in text.items() if key in items)
                        continue
                    value = text.value()
                    if key in items:
                        raise DataError(f"{file}: its {key} are no list; write it again")
                    if key in values:
                        yield key, value
            if text.peek():
                raise ValueError("something follows its end")


def json_items(file: Path, key: str) -> Iterator[Any]:
    """Read the items of one list of a JSON file, see `json_members`."""
    return (item for _, item in json_members(file, items=(key,)))


class _Text:
    """The text of a JSON file, of which a part is in memory.

    Args:
        file: Is named in errors.
        stream: The open file.
    """

    def __init__(self, file: Path, stream: IO[str]) -> None:
        self._file = file
        self._stream = stream
        self._part = ""
        self._place = 0
        self._decode = json.JSONDecoder(parse_constant=self._refuse).raw_decode

    def peek(self) -> str:
        """The next character that is no blank; empty at the end."""
        while True:
            blanks = _BLANKS.match(self._part, self._place)
            self._place = blanks.end() if blanks else self._place
            if self._place < len(self._part):
                return self._part[self._place]
            if not self._read_on():
                return ""

    def value(self) -> Any:
        """Decode the next value; raises ValueError."""
        self.peek()
        while True:
            try:
                value, end = self._decode(self._part, self._place)
            except ValueError:  # it is wrong, or its end is not in memory
                if not self._read_on():
                    raise
                continue
            # A number may go on in the next part
            if end < len(self._part) or not self._read_on():
                self._place = end
                return value

    def items(self) -> Iterator[Any]:
        """Decode the items of the list that comes next, one after the other."""
        return (self.value() for _ in self._entries("[", "]"))

    def members(self) -> Iterator[str]:
        """Decode the keys of the object that comes next; the caller takes the value after each."""
        for _ in self._entries("{", "}"):
            key = self.value()
            if not isinstance(key, str):
                raise ValueError("a key is no text")
            self._take(":")
            yield key

    def _entries(self, first: str, last: str) -> Iterator[None]:
        """Stand before each entry of a list or an object, which the caller takes."""
        self._take(first)
        if self.peek() == last:
            self._take(last)
            return
        while True:
            yield
            if self._take("," + last) == last:
                return

    def _take(self, characters: str) -> str:
        found = self.peek()
        if not found or found not in characters:
            expected = " or ".join(characters)
            raise ValueError(
                f"{found!r} where {expected} is expected" if found else "it ends early"
            )
        self._place += 1
        return found

    def _read_on(self) -> bool:
        """Read as much as is in memory, a part at least; return whether there was any more."""
        rest = self._part[self._place :]
        if len(rest) > MAX_ITEM_CHARACTERS:
            raise DataError(
                f"{self._file}: is not a whole JSON file (one of its items has more than "
                f"{MAX_ITEM_CHARACTERS:,} characters); write it again"
            )
        more = self._stream.read(max(PART_BYTES, len(rest)))
        self._part = rest + more
        self._place = 0
        return bool(more)

    def _refuse(self, word: str) -> None:
        raise DataError(
            f"{self._file}: is not a whole JSON file ({word} is no number of JSON); write it again"
        )


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
    """A value as text; None where it is none, empty, absurdly long or of half characters."""
    if not isinstance(value, str):
        if value is None or isinstance(value, dict | list):
            return None
        if isinstance(value, float) and not math.isfinite(value):
            return None
    text = str(value).strip()
    if not text or len(text) > MAX_ITEM_TEXT:
        return None
    return text if text.isascii() or _is_whole(text) else None


def _is_whole(text: str) -> bool:
    """Whether text can be written as UTF-8: JSON can name halves of characters."""
    try:
        return bool(text.encode())
    except UnicodeEncodeError:
        return False
