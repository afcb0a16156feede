"""Out-of-fold logits on disk: exact, with their classes, and refused where they have changed."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from bestiary.errors import DamagedError
from bestiary.run.layout import FoldFiles
from bestiary.run.oof import read_oof, write_oof
from bestiary.run.tables import write_table
from bestiary.tables import read_metadata

CLASSES = ["lynx", "größe", "=cmd()"]


def table_of(logits: np.ndarray) -> pl.DataFrame:
    paths = [f"{row}.jpg" for row in range(len(logits))]
    series = pl.Series("logits", logits, pl.Array(pl.Float32, logits.shape[1]))
    return pl.DataFrame({"path": paths, "label": CLASSES[: len(paths)]}).with_columns(series)


@pytest.fixture
def files(tmp_path: Path) -> FoldFiles:
    files = FoldFiles(tmp_path / "fold-0")
    logits = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    write_oof(files, table_of(logits), CLASSES)
    return files


def test_oof_roundtrip_is_exact(files: FoldFiles) -> None:
    table, classes = read_oof(files)
    expected = np.random.default_rng(0).normal(size=(3, 3)).astype(np.float32)
    assert classes == CLASSES
    assert table["label"].to_list() == CLASSES
    assert np.array_equal(table["logits"].to_numpy(), expected)


def test_changed_logits_are_refused(files: FoldFiles) -> None:
    table, _ = read_oof(files)
    changed = table.with_columns(label=pl.lit("lynx"))
    write_table(files.oof, changed, read_metadata(files.oof))
    with pytest.raises(DamagedError, match=r"oof\.parquet: its checksum does not hold"):
        read_oof(files)


def test_logits_of_the_first_view_are_optional(files: FoldFiles) -> None:
    table, _ = read_oof(files)
    assert "first_view" not in table.columns
    both = table.with_columns(first_view=table["logits"].reverse())
    write_oof(files, both, CLASSES)
    assert read_oof(files)[0].equals(both)

    # The checksum of the logits is that of a table without them; they have one of their own.
    metadata = read_metadata(files.oof)
    write_table(files.oof, table, metadata)
    assert read_oof(files)[0].equals(table)
    write_table(files.oof, both.with_columns(first_view=both["logits"]), metadata)
    with pytest.raises(DamagedError, match=r"oof\.parquet: its checksum does not hold"):
        read_oof(files)


def test_logits_of_other_classes_are_refused(files: FoldFiles) -> None:
    write_oof(files, table_of(np.zeros((3, 2), np.float32)), CLASSES)
    with pytest.raises(DamagedError, match=r"oof\.parquet: is not what bestiary writes"):
        read_oof(files)


def test_table_of_another_program_is_refused(files: FoldFiles) -> None:
    table, _ = read_oof(files)
    table.write_parquet(files.oof)
    with pytest.raises(DamagedError, match=r"oof\.parquet: is not what bestiary writes"):
        read_oof(files)


def test_truncated_oof_is_refused(files: FoldFiles) -> None:
    files.oof.write_bytes(files.oof.read_bytes()[:100])
    with pytest.raises(DamagedError, match=r"oof\.parquet: cannot be read"):
        read_oof(files)
