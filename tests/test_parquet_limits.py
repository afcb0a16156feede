"""What a Parquet file claims, compared with its bytes before they are read."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bestiary import parquet_limits
from bestiary.parquet_limits import MAGIC, ParquetLimitError, check_parquet
from bestiary.tables import TableError, read_frame


@pytest.mark.parametrize("rows", [0, 1, 10_000])
def test_usual_table_passes(rows: int, tmp_path: Path) -> None:
    file = tmp_path / "table.parquet"
    logits = np.zeros((rows, 3), np.float32)
    table = pl.DataFrame(
        {
            "path": [f"images/{row}.jpg" for row in range(rows)],
            "label": ["fox"] * rows,
            "logits": pl.Series(logits, dtype=pl.Array(pl.Float32, 3)),
            "group": pl.Series([None] * rows, dtype=pl.String),
        }
    )
    table.write_parquet(file, metadata={"root": "x" * 1000})
    check_parquet(file)
    assert read_frame(file).equals(table)


def test_rows_that_no_file_of_its_size_holds(tmp_path: Path) -> None:
    file = tmp_path / "bomb.parquet"
    pl.select(pl.repeat(0, 100_000_000, dtype=pl.Int8).alias("fold")).write_parquet(file)
    assert file.stat().st_size < 1_000_000
    with pytest.raises(TableError, match=r"claims 100,000,00. values"):
        read_frame(file)


def test_bytes_that_no_file_of_its_size_holds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_limits, "MAX_BYTES", 1 << 20)
    file = tmp_path / "bomb.parquet"
    pl.DataFrame({"path": ["0" * 20_000_000]}).write_parquet(file, compression="zstd")
    with pytest.raises(TableError, match=r"claims 20,\d+,\d+ bytes"):
        read_frame(file)


def test_too_many_columns(tmp_path: Path) -> None:
    file = tmp_path / "wide.parquet"
    pl.DataFrame({f"c{column}": [1] for column in range(1001)}).write_parquet(file)
    with pytest.raises(TableError, match="it has 1,001 columns"):
        read_frame(file)


@pytest.mark.parametrize(
    "footer",
    [
        b"",
        b"\x19\xfc\xff\xff\xff\xff\x0f",  # a list of four billion structures
        b"\x1c" * 1000,  # nested structures
        b"\x19" * 5000,  # nested lists
        b"\x15" + b"\xff" * 100,  # a number without an end
        b"\x1d\x00",  # a value of no known kind
        b"\x49\x1c\x19\x5c\x00\x00\x00\x00\x00\x00\x00",  # columns without metadata
    ],
)
def test_footer_of_nonsense(footer: bytes, tmp_path: Path) -> None:
    file = tmp_path / "nonsense.parquet"
    file.write_bytes(MAGIC + footer + len(footer).to_bytes(4, "little") + MAGIC)
    with pytest.raises(ParquetLimitError):
        check_parquet(file)


def test_every_cut_and_changed_byte_is_refused_or_read(tmp_path: Path) -> None:
    """No damage gives another error than the two that readers expect."""
    file = tmp_path / "table.parquet"
    pl.DataFrame({"path": ["a", "b"], "fold": [0, 1]}).write_parquet(file)
    content = file.read_bytes()
    for position in range(4, len(content)):
        changed = bytearray(content)
        changed[position] ^= 0x55
        for damaged in (content[:position], bytes(changed)):
            file.write_bytes(damaged)
            try:
                check_parquet(file)
            except ParquetLimitError:
                continue
