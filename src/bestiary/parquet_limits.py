"""A Parquet file's own account of its size -> whether it is safe to read.

A file of a kilobyte can claim a billion rows, and a page of it two gigabytes. Readers believe it
and allocate. So the footer and the header of every page are read first, which takes little memory,
and both must fit the bytes that the file has. Both are in Thrift's compact protocol, of which this
module skips all but a few numbers (https://parquet.apache.org/docs/file-format/metadata). Decodes
no value.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

MAGIC = b"PAR1"
MAX_FOOTER_BYTES = 16 << 20
MAX_FOOTER_VALUES = 2_000_000  # each takes memory while the footer is read
MAX_COLUMNS = 1_000
MAX_DEPTH = 32  # of structures and lists inside each other, in a footer
HEADER_BYTES = 1 << 16  # of a page's header, with the statistics in it
MAX_PAGES = 2_000_000
# A file may hold this much, and in addition so much for each of its bytes.
MAX_VALUES = 50_000_000
MAX_VALUES_PER_BYTE = 8
MAX_BYTES = 256 << 20
MAX_BYTES_PER_BYTE = 40

Struct = dict[int, Any]
"""Number of a field -> its value: a number, bytes, a list or another structure."""

_TRUE, _FALSE, _BYTE, _I16, _I32, _I64, _DOUBLE, _BINARY, _LIST, _SET, _MAP, _STRUCT = range(1, 13)


class ParquetLimitError(ValueError):
    """A file is not Parquet, or claims more than its bytes can hold."""


def check_parquet(file: Path) -> None:
    """Check what a Parquet file claims to hold.

    Args:
        file: a regular file.

    Raises:
        OSError: it cannot be read.
        ParquetLimitError: it is not Parquet, or claims more than it can hold.
    """
    try:
        with file.open("rb") as stream:
            size = os.fstat(stream.fileno()).st_size
            _check_claims(stream, size)
    except (IndexError, KeyError, TypeError, AttributeError, OverflowError):
        raise ParquetLimitError("its footer makes no sense") from None


def _check_claims(stream: BinaryIO, size: int) -> None:
    footer = _read_footer(stream, size)
    row_groups = footer.get(4, [])
    columns = [column[3] for group in row_groups for column in group[1]]
    widest = max((len(group[1]) for group in row_groups), default=0)
    if widest > MAX_COLUMNS:
        raise ParquetLimitError(f"it has {widest:,} columns, more than {MAX_COLUMNS:,}")

    n_values = max(footer.get(3, 0), 0)
    n_bytes = 0
    n_pages = 0
    for column in columns:
        for page in _pages(stream, column, size):
            n_pages += 1
            n_bytes += page.get(2, 0)
            n_values += _values_of(page)
            if n_pages > MAX_PAGES:
                raise ParquetLimitError("it has too many pages")
            if n_values > MAX_VALUES + MAX_VALUES_PER_BYTE * size:
                raise ParquetLimitError(f"it claims {n_values:,} values in {size:,} bytes")
            if n_bytes > MAX_BYTES + MAX_BYTES_PER_BYTE * size:
                raise ParquetLimitError(f"it claims {n_bytes:,} bytes in {size:,}")
    if n_values > MAX_VALUES + MAX_VALUES_PER_BYTE * size:
        raise ParquetLimitError(f"it claims {n_values:,} rows in {size:,} bytes")


def _read_footer(stream: BinaryIO, size: int) -> Struct:
    stream.seek(max(0, size - 8))
    tail = stream.read(8)
    n_bytes = int.from_bytes(tail[:4], "little")
    if len(tail) < 8 or tail[4:] != MAGIC or n_bytes > min(size - 8, MAX_FOOTER_BYTES):
        raise ParquetLimitError("it is not a whole Parquet file")
    stream.seek(size - 8 - n_bytes)
    return _Reader(stream.read(n_bytes)).struct()


def _pages(stream: BinaryIO, column: Struct, size: int) -> Iterator[Struct]:
    """Yield the header of each page of a column chunk, from its metadata."""
    offsets = [column[9]]
    if column.get(11):
        offsets.append(column[11])
    position = min(offsets)
    end = position + column[7]
    if position < 0 or column[7] < 0 or end > size:
        raise ParquetLimitError("a column lies outside the file")
    while position < end:
        stream.seek(position)
        reader = _Reader(stream.read(min(HEADER_BYTES, end - position)))
        page = reader.struct()
        yield page
        if page[2] < 0 or page[3] < 0:
            raise ParquetLimitError("a page has a negative size")
        position += reader.position + page[3]


def _values_of(page: Struct) -> int:
    """Number of values of a page: of version 1, of version 2, or a dictionary's."""
    n_values = 0
    for field in (5, 7, 8):
        header = page.get(field)
        if isinstance(header, dict):
            n_values += max(header.get(1, 0), 0)
    return n_values


class _Reader:
    """Reads structures of Thrift's compact protocol from bytes.

    Args:
        content: begins with a structure.
    """

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.position = 0
        self.n_values = 0

    def struct(self, depth: int = 0) -> Struct:
        """Read one structure; IndexError where the bytes end inside it."""
        fields: Struct = {}
        number = 0
        while (head := self._byte()) != 0:
            delta = head >> 4
            number = number + delta if delta else self._zigzag()
            fields[number] = self._value(head & 15, depth, in_list=False)
        return fields

    def _byte(self) -> int:
        value = self.content[self.position]
        self.position += 1
        return value

    def _varint(self) -> int:
        value = 0
        for shift in range(0, 70, 7):
            byte = self._byte()
            value |= (byte & 127) << shift
            if byte < 128:
                return value
        raise ParquetLimitError("a number of its footer has no end")

    def _zigzag(self) -> int:
        value = self._varint()
        return (value >> 1) ^ -(value & 1)

    def _skip(self, n_bytes: int) -> bytes:
        start = self.position
        if start + n_bytes > len(self.content):
            raise IndexError
        self.position += n_bytes
        return self.content[start : self.position]

    def _value(self, kind: int, depth: int, *, in_list: bool) -> Any:
        self.n_values += 1
        if self.n_values > MAX_FOOTER_VALUES:
            raise ParquetLimitError("its footer has too many values")
        if depth > MAX_DEPTH:
            raise ParquetLimitError("its footer is nested too deeply")
        if kind > _I64:
            return self._large_value(kind, depth)
        if kind in (_TRUE, _FALSE):
            return self._byte() == 1 if in_list else kind == _TRUE
        if kind == _BYTE:
            return self._byte()
        return self._zigzag()

    def _large_value(self, kind: int, depth: int) -> Any:
        if kind == _DOUBLE:
            return self._skip(8)
        if kind == _BINARY:
            return self._skip(self._varint())
        if kind in (_LIST, _SET):
            return self._list(depth)
        if kind == _STRUCT:
            return self.struct(depth + 1)
        raise ParquetLimitError("its footer holds a value of no known kind")

    def _list(self, depth: int) -> list[Any]:
        head = self._byte()
        count = head >> 4
        if count == 15:
            count = self._varint()
        if count > len(self.content) - self.position:  # each element takes a byte or more
            raise IndexError
        return [self._value(head & 15, depth + 1, in_list=True) for _ in range(count)]
