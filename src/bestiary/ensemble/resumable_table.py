"""Rows of predictions, appended as they come -> a table that is written whole; resumable after a
crash.

Until the table is written, a folder named after it with ``.partial`` stores the rows::

    prediction.csv.partial/asked.json   the request: ensemble and options; --resume needs the same
                          /rows.jsonl   one row a line, appended batch by batch

Memory is that of a batch: the table is streamed from the rows. Knows nothing of networks or images.
"""

import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Self

import polars as pl

from bestiary.atomic import atomic_path, write_text
from bestiary.errors import ArgumentError, BestiaryError, DamagedError
from bestiary.run.layout import lock_folder
from bestiary.tables import TableError, escape_formulas, table_errors

MEMBERS_USED = "members_used"  # columns of a prediction with a cascade
STOPPED_EARLY = "stopped_early"
TAIL_BYTES = 1 << 16  # read at a time when looking for the last complete line


@dataclass(frozen=True, slots=True)
class Counts:
    """How many images a prediction has processed.

    Attributes:
        rows: images, readable or not.
        unread: images that could not be read.
        first: path and reason of the first unreadable image; empty if there is none.
        stopped: images that a cascade stopped early; None: there was no cascade.
        empty: images with a label and without a confidence: a detector found nothing in them.
        sure: images whose label is accepted; None: nothing says so.
        unknown: images unlike those of the run.
        labels: the labels and how often each is given, most often first; unknown images have none.
    """

    rows: int
    unread: int
    first: tuple[str, ...]
    stopped: int | None = None
    empty: int = 0
    sure: int | None = None
    unknown: int = 0
    labels: tuple[tuple[str, int], ...] = ()


class ResumableTable:
    """The rows of a prediction in progress; a context manager for one process at a time.

    Args:
        out: the table to write in the end.
        request: ensemble and options of the prediction, as values for JSON.
        schema: columns of the rows, path and error among them.
        resume: whether to continue with rows that exist.

    Raises:
        ArgumentError: rows exist and `resume` is false, or their request differs; or there are no
            rows, but a complete table.
        RunError: another process adds to them.
        DamagedError: a row other than the last is damaged.
        BestiaryError: the folder cannot be written.
    """

    def __init__(
        self,
        out: Path,
        request: dict[str, Any],
        schema: dict[str, Any],
        *,
        resume: bool,
    ) -> None:
        self.out = out
        self.schema = schema
        self.folder = out.with_name(f"{out.name}.partial")
        self._request = request
        self._resume = resume
        self._file: IO[bytes] | None = None

    def __enter__(self) -> Self:
        # Exclude other processes before anything is read or written
        self._lock = lock_folder(self.folder, "is predicting into it; wait for it")
        try:
            self._begin()
            drop_torn_line(self._rows)
            self._file = self._rows.open("ab", buffering=0)
        except BaseException:
            self._lock.release()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        if self._file:
            self._file.close()
        self._lock.release()

    @property
    def _rows(self) -> Path:
        return self.folder / "rows.jsonl"

    def _begin(self) -> None:
        """Check that rows that exist may be continued, or begin without any."""
        request_file = self.folder / "asked.json"
        if request_file.exists():
            self._check_request(request_file)
            return
        if self.out.exists():  # complete since long, or by a process that ended just now
            shutil.rmtree(self.folder, ignore_errors=True)
            raise ArgumentError(
                f"--out {self.out}: is complete, and predictions are never overwritten; choose "
                "another name"
            )
        write_text(request_file, json.dumps(self._request, indent=1) + "\n")

    def _check_request(self, request_file: Path) -> None:
        """Check that rows exist for the same request, and may be continued."""
        if not self._resume:
            raise ArgumentError(
                f"{self.folder}: contains an interrupted prediction; go on with --resume, or "
                f"remove it"
            )
        try:
            earlier = json.loads(request_file.read_text(encoding="utf-8"))
        except (OSError, ValueError) as error:
            raise DamagedError(
                f"{request_file}: cannot be read ({error}); remove {self.folder}"
            ) from None

        request = json.loads(json.dumps(self._request))  # as a file would return it
        for key, value in request.items():
            if not isinstance(earlier, dict) or earlier.get(key) != value:
                raise ArgumentError(
                    f"--resume: {self.folder} was begun with another {key}; go on as it was, or "
                    f"remove it"
                )

    def add(self, rows: Iterable[dict[str, Any]]) -> None:
        """Append rows. Once this returns, they survive a crash of the process.

        Args:
            rows: column -> value; columns may be absent.

        Raises:
            BestiaryError: the file cannot be written, or the disk is full.
        """
        assert self._file, "outside of its context"
        lines = [json.dumps(row, ensure_ascii=False) + "\n" for row in rows]
        content = "".join(lines).encode()
        try:
            # One write, so that Ctrl-C comes before it or after it
            n_written = self._file.write(content)
        except OSError as error:
            raise BestiaryError(
                f"{self._rows}: cannot be written ({error.strerror}); then --resume"
            ) from None
        if n_written != len(content):
            raise BestiaryError(f"{self._rows}: the disk is full; free space, then --resume")

    def paths(self) -> pl.Series:
        """Read the paths of all rows, in the order of the rows.

        Raises:
            DamagedError: a row is damaged.
        """
        try:
            with table_errors():
                return self._scan().select("path").collect()["path"]
        except TableError as error:
            raise DamagedError(
                f"{self._rows}: cannot be read ({error}); remove {self.folder}"
            ) from None

    def counts(self) -> Counts:
        """Count the rows: those of unreadable images, those that are sure, and each label."""
        is_unread = pl.col("error").is_not_null()
        rows = self._scan()
        wanted = {"rows": pl.len(), "unread": is_unread.sum()}
        if "confidence" in self.schema:
            is_empty = pl.col("label").is_not_null() & pl.col("confidence").is_null()
            wanted["empty"] = is_empty.sum()
            wanted["sure"] = pl.when(pl.col("accepted").count() > 0).then(pl.col("accepted").sum())
            wanted["unknown"] = pl.col("unknown").sum()
        if STOPPED_EARLY in self.schema:
            wanted["stopped"] = pl.col(STOPPED_EARLY).sum()
        sums = rows.select(**wanted).collect().row(0, named=True)
        unread_rows = rows.filter(is_unread).select("path", "error").head(1).collect()
        first = unread_rows.row(0) if sums["unread"] else ()
        return Counts(**sums, first=first, labels=self._labels(rows))

    def _labels(self, rows: pl.LazyFrame) -> tuple[tuple[str, int], ...]:
        """Count each label that an image is given, most often first."""
        if "confidence" not in self.schema:
            return ()
        is_known = pl.col("confidence").is_not_null() & ~pl.col("unknown").fill_null(False)
        counted = rows.filter(is_known).group_by("label").len().collect()
        return tuple(counted.sort(["len", "label"], descending=[True, False]).iter_rows())

    def write(self, columns: list[pl.Expr] | None = None) -> None:
        """Write the table, sorted by path, completely or not at all.

        Args:
            columns: columns to write, for another program, so text stays as it is; None: all.
        """
        table = self._scan()
        if not self.paths().is_sorted():
            table = table.sort("path")  # after a resume or a watch; takes memory
        if columns:
            table = table.select(columns)
        with atomic_path(self.out) as temporary:
            if self.out.suffix.lower() != ".csv":
                table.sink_parquet(temporary)
            elif columns:
                table.sink_csv(temporary)
            else:
                escape_formulas(table).sink_csv(temporary)

    def remove(self) -> None:
        """Remove the rows, once the table contains them."""
        assert self._file
        self._file.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _scan(self) -> pl.LazyFrame:
        if not self._rows.stat().st_size:
            return pl.LazyFrame(schema=self.schema)
        return pl.scan_ndjson(self._rows, schema=self.schema)


def drop_torn_line(file: Path) -> None:
    """Remove an incomplete last line, which a crash leaves behind.

    Args:
        file: created if it does not exist.
    """
    with file.open("ab+") as rows:
        end = rows.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - TAIL_BYTES)
            rows.seek(start)
            tail = rows.read(end - start)
            newline = tail.rfind(b"\n")
            if newline >= 0:
                end = start + newline + 1
                break
            end = start
        rows.truncate(end)
