"""Rows of a prediction in progress: an incomplete last line, one process at a time, counts."""

from pathlib import Path

import polars as pl
import pytest

from bestiary.ensemble.resumable_table import Counts, ResumableTable, drop_torn_line
from bestiary.errors import DamagedError, RunError

SCHEMA = {"path": pl.String, "label": pl.String, "error": pl.String}


def test_drop_torn_line(tmp_path: Path) -> None:
    file = tmp_path / "rows"
    for before, after in {
        b"": b"",
        b"a": b"",
        b"a\n": b"a\n",
        b"a\nb": b"a\n",
        b"a\n" + b"b" * 200_000: b"a\n",
    }.items():
        file.write_bytes(before)
        drop_torn_line(file)
        assert file.read_bytes() == after


def open_table(out: Path, *, resume: bool = False) -> ResumableTable:
    return ResumableTable(out, {"run": "a"}, SCHEMA, resume=resume)


def test_resumable_table_continues_and_sorts(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with open_table(out) as table:
        table.add([{"path": "b.jpg", "label": "wolf"}])
    with open_table(out, resume=True) as table:
        assert table.paths().to_list() == ["b.jpg"]
        table.add([{"path": "a.jpg", "error": "truncated"}])
        assert table.counts() == Counts(2, 1, ("a.jpg", "truncated"))
        table.write()
        table.remove()
    assert pl.read_csv(out)["path"].to_list() == ["a.jpg", "b.jpg"]
    assert not out.with_name("p.csv.partial").exists()


def test_resumable_table_is_for_one_process(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with (
        open_table(out),
        pytest.raises(RunError, match="another process"),
        open_table(out, resume=True),
    ):
        pass


def test_resumable_table_names_damaged_row(tmp_path: Path) -> None:
    out = tmp_path / "p.csv"
    with open_table(out) as table:
        table.add([{"path": "a.jpg", "label": "wolf"}])
    (out.with_name("p.csv.partial") / "rows.jsonl").write_text("{]\n")
    with (
        open_table(out, resume=True) as table,
        pytest.raises(DamagedError, match=r"rows\.jsonl: cannot be read"),
    ):
        table.paths()
