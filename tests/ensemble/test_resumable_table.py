"""Rows of a prediction in progress: an incomplete last line, one process at a time, counts."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pytest

from bestiary.ensemble.resumable_table import Counts, ResumableTable, drop_torn_line
from bestiary.errors import ArgumentError, DamagedError, RunError

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


def test_a_request_is_not_changed_by_another_process(tmp_path: Path) -> None:
    """The second comes before the first has a row: what was asked first is what is resumed."""
    out = tmp_path / "p.csv"
    with open_table(out):
        other = ResumableTable(out, {"run": "b"}, SCHEMA, resume=False)
        with pytest.raises(RunError, match="another process is predicting into it"), other:
            pass
    with open_table(out, resume=True):
        pass


@pytest.mark.parametrize("resume", [False, True])
def test_a_table_made_meanwhile_is_not_overwritten(tmp_path: Path, resume: bool) -> None:
    """Two processes that both found no table: the second begins when the first has ended."""
    out = tmp_path / "p.csv"
    second = open_table(out, resume=resume)
    with open_table(out) as table:
        table.add([{"path": "a.jpg", "label": "wolf"}])
        table.write()
        table.remove()
    written = out.read_bytes()
    with pytest.raises(ArgumentError, match="is complete, and predictions are never"), second:
        pass
    assert out.read_bytes() == written
    assert list(tmp_path.iterdir()) == [out]


def test_many_processes_write_one_table(tmp_path: Path) -> None:
    """Whoever comes first writes; all others are refused, whenever they come."""
    out = tmp_path / "p.csv"

    def predict(number: int) -> int:
        try:
            with ResumableTable(out, {"run": number}, SCHEMA, resume=False) as table:
                table.add([{"path": "a.jpg", "label": str(number)}])
                table.write()
                table.remove()
        except (ArgumentError, RunError):
            return 0
        return 1

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(predict, range(24)))
    assert sum(ended) == 1
    assert pl.read_csv(out)["label"].to_list() == [ended.index(1)]
