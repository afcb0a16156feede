"""Tables of a run: their columns, their gaps, paths that leave the folder, formulas in CSV."""

from pathlib import Path

import polars as pl
import pytest

from bestiary.errors import DamagedError
from bestiary.run.layout import FOLDS, MANIFEST
from bestiary.run.tables import SCHEMAS, TEXT, read_table, write_table
from bestiary.tables import read_metadata

SCHEMA = {"path": TEXT, "fold": pl.Int64()}


def folds(**columns: list[object]) -> pl.DataFrame:
    return pl.DataFrame({"path": ["a.jpg", "b.jpg"], "fold": [0, 1]} | columns)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_table_roundtrip(suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"folds{suffix}"
    write_table(file, folds())
    assert read_table(file, SCHEMA).equals(folds())


def test_csv_escapes_formulas(tmp_path: Path) -> None:
    table = folds(path=["=cmd()", "-1.5"])
    write_table(tmp_path / "t.csv", table)
    assert (tmp_path / "t.csv").read_text().splitlines()[1] == "'=cmd(),0"
    assert read_table(tmp_path / "t.csv", SCHEMA).equals(table)


def test_parquet_keeps_metadata(tmp_path: Path) -> None:
    write_table(tmp_path / "t.parquet", folds(), {"root": "/images"})
    assert read_metadata(tmp_path / "t.parquet")["root"] == "/images"


def test_missing_table_names_the_remedy(tmp_path: Path) -> None:
    with pytest.raises(DamagedError, match="is missing; put it back, or train again"):
        read_table(tmp_path / FOLDS, SCHEMA)


@pytest.mark.parametrize(
    ("table", "words"),
    [
        (folds().drop("fold"), "fold"),
        (folds(fold=[0, None]), "its column fold has gaps"),
        (folds(fold=["first", "second"]), "cannot be read"),
        (folds(path=["a.jpg", "../b.jpg"]), "leads out of the folder"),
        (folds(path=["a.jpg", "/b.jpg"]), "leads out of the folder"),
        (folds(path=["a.jpg", "C:b.jpg"]), "leads out of the folder"),
    ],
)
def test_invalid_table_is_refused(table: pl.DataFrame, words: str, tmp_path: Path) -> None:
    write_table(tmp_path / FOLDS, table)
    with pytest.raises(DamagedError, match=words):
        read_table(tmp_path / FOLDS, SCHEMA)


def test_random_bytes_are_refused(tmp_path: Path) -> None:
    for name in ("t.csv", "t.parquet"):
        (tmp_path / name).write_bytes(bytes(range(256)))
        with pytest.raises(DamagedError, match=f"{name}: cannot be read"):
            read_table(tmp_path / name, SCHEMA)


def test_nullable_column_may_have_gaps(tmp_path: Path) -> None:
    schema = {"path": TEXT, "group": TEXT}
    table = pl.DataFrame({"path": ["a.jpg"], "group": [None]}, schema=schema)
    write_table(tmp_path / MANIFEST, table)
    assert read_table(tmp_path / MANIFEST, schema).equals(table)
    assert "group" in SCHEMAS[MANIFEST]
