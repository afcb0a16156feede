"""Rows of predictions, as they come -> a table that appears whole; what is done so far outlives a
crash.

Beside the table lies, until it is written, a folder of its name and ``.partial``::

    prediction.csv.partial/asked.json   what predicts what, and how: only the same goes on
                          /rows.jsonl   a row a line, appended batch by batch

Memory is that of a batch: the table is made from the rows as a stream. Knows nothing of networks or
images.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import polars as pl
from filelock import FileLock, Timeout

from bestiary.atomic import atomic_path, write_text
from bestiary.errors import ArgumentError, BestiaryError, DamagedError
from bestiary.tables import TableError, foreign_table, guard

TAIL = 1 << 16  # bytes looked through at a time for the last whole line


@dataclass(frozen=True, slots=True)
class Counts:
    """What a prediction has come to.

    Attributes:
        rows: images, read or not.
        unread: those that could not be read.
        first: path and reason of the first of these; empty where there are none.
    """

    rows: int
    unread: int
    first: tuple[str, ...]


class ResumableTable:
    """The rows of a prediction under way; a context that one process at a time may be in.

    Args:
        out: the table that they will be.
        asked: what predicts what, and how, as JSON takes it.
        schema: columns of the rows, path and error among them.
        resume: whether rows that are there are gone on with.

    Raises:
        ArgumentError: rows are there and `resume` is not given, or they were asked for in another
            way.
        DamagedError: a row, other than the last, is none.
        BestiaryError: the folder cannot be written.
    """

    def __init__(
        self, out: Path, asked: dict[str, Any], schema: dict[str, Any], *, resume: bool
    ) -> None:
        self.out, self.schema = out, schema
        self.folder = out.with_name(f"{out.name}.partial")
        self._asked, self._resume = asked, resume
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        card = self.folder / "asked.json"
        if card.exists() and not self._resume:
            raise ArgumentError(
                f"{self.folder}: holds a prediction that was stopped; go on by --resume, or remove "
                f"it"
            )
        if card.exists():
            self._check(card)
        else:
            write_text(card, json.dumps(self._asked, indent=1) + "\n")
        self._lock = FileLock(self.folder / ".lock")
        try:
            self._lock.acquire(timeout=0)
        except Timeout:
            raise ArgumentError(
                f"{self.folder}: another process is predicting into it; wait for it"
            ) from None
        drop_torn_line(self._rows)
        self._file = self._rows.open("ab", buffering=0)
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        self._lock.release()

    @property
    def _rows(self) -> Path:
        return self.folder / "rows.jsonl"

    def _check(self, card: Path) -> None:
        try:
            kept = json.loads(card.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedError(f"{card}: cannot be read ({error}); remove {self.folder}") from None
        now = json.loads(json.dumps(self._asked))
        changed = next(
            (key for key in now if not isinstance(kept, dict) or kept.get(key) != now[key]), None
        )
        if changed:
            raise ArgumentError(
                f"--resume: {self.folder} was begun with another {changed}; go on as it was, or "
                f"remove it"
            )

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Keep `rows`; from the return on they outlive the process."""
        assert self._file, "outside of its context"
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()
        try:
            # In one piece, so that Ctrl-C comes before it or after it.
            whole = self._file.write(lines) == len(lines)
        except OSError as error:
            raise BestiaryError(
                f"{self._rows}: cannot be written ({error.strerror}); then --resume"
            ) from None
        if not whole:
            raise BestiaryError(f"{self._rows}: the disk is full; free space, then --resume")

    def paths(self) -> pl.Series:
        """The paths of the rows that are there, in their order."""
        try:
            with foreign_table():
                return self._stream().select("path").collect()["path"]
        except TableError as error:
            raise DamagedError(
                f"{self._rows}: cannot be read ({error}); remove {self.folder}"
            ) from None

    def counts(self) -> Counts:
        """How many rows there are, and how many without an answer."""
        unread = pl.col("error").is_not_null()
        stream = self._stream()
        rows, count = stream.select(pl.len(), unread.sum().alias("unread")).collect().row(0)
        first = stream.filter(unread).select("path", "error").head(1).collect() if count else None
        return Counts(rows, count, () if first is None else first.row(0))

    def write(self, columns: list[pl.Expr] | None = None) -> None:
        """Write the table, sorted by path, or these `columns` of it, whole or not at all."""
        table = self._stream()
        if not self.paths().is_sorted():
            table = table.sort("path")  # some were there before others: takes memory
        table = table.select(columns) if columns else table
        with atomic_path(self.out) as temporary:
            if self.out.suffix.lower() == ".csv":
                guard(table).sink_csv(temporary)
            else:
                table.sink_parquet(temporary)

    def remove(self) -> None:
        """Remove the rows; the table holds them."""
        assert self._file
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _stream(self) -> pl.LazyFrame:
        if not self._rows.stat().st_size:
            return pl.LazyFrame(schema=self.schema)
        return pl.scan_ndjson(self._rows, schema=self.schema)


def drop_torn_line(file: Path) -> None:
    """Cut off what comes after the last end of line, which a crash has left; make the file where
    there is none.
    """
    with file.open("ab+") as rows:
        end = rows.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - TAIL)
            rows.seek(start)
            found = rows.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        rows.truncate(end)
