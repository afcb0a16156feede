"""Decided pairs: a person's no is followed, kept, and refused where it fits other data."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

import bestiary
from bestiary.data.pair_decisions import read_decisions
from bestiary.errors import DataError

Pixels = NDArray[np.uint8]


@pytest.fixture
def data(
    save: Callable[..., Path],
    scene: Callable[..., Pixels],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Two classes, and a mirrored, darker crop of one image in the other class."""
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    for index in range(6):
        save(f"{'ab'[index % 2]}/{index}.jpg", scene(100 + index), quality=95)
    darker = (scene(100)[10:140, 14:187, :][:, ::-1] * 0.7).astype(np.uint8)
    save("b/near.jpg", darker, quality=95)
    return tmp_path / "data"


def decide(folder: Path, word: str) -> Path:
    file = folder / "not_duplicates.csv"
    table = pl.read_csv(file, schema_overrides={"decision": pl.String})
    table.with_columns(decision=pl.lit(word)).write_csv(file)
    return file


def test_pairs_are_written_with_what_differs(data: Path, tmp_path: Path) -> None:
    bestiary.scan(data, out=tmp_path / "out", quiet=True)
    table = pl.read_csv(tmp_path / "out/not_duplicates.csv")
    assert table.select("path", "other").rows() in (
        [("a/0.jpg", "b/near.jpg")],
        [("b/near.jpg", "a/0.jpg")],
    )
    words = table["differences"][0]
    assert "mirrored" in words
    assert "darker" in words or "brighter" in words
    assert table["probability"][0] > 0.9
    assert table["decision"].null_count() == 1


def test_no_is_followed_and_carried_over(data: Path, tmp_path: Path) -> None:
    assert bestiary.scan(data, out=tmp_path / "out", quiet=True).exit_code == 1
    file = decide(tmp_path / "out", "No")
    audit = bestiary.scan(data, out=tmp_path / "out", not_duplicates=file, quiet=True)
    assert audit.near_duplicates.is_empty()
    assert audit.exit_code == 0
    assert pl.read_csv(file)["decision"].to_list() == ["no"]


def test_train_follows_the_decisions(data: Path, tmp_path: Path, tiny: Path) -> None:
    bestiary.scan(data, out=tmp_path / "out", quiet=True)
    file = decide(tmp_path / "out", "no")
    options = {"recipe": tiny, "folds": 2, "only_fold": [0], "quiet": True}
    run = bestiary.train(data, tmp_path / "run", not_duplicates=file, **options)
    assert not run.read_table("manifest.parquet")["label_conflict"].any()
    assert pl.read_csv(run.path / "not_duplicates.csv")["decision"].to_list() == ["no"]


def test_yes_and_empty_change_nothing(data: Path, tmp_path: Path) -> None:
    bestiary.scan(data, out=tmp_path / "out", quiet=True)
    file = decide(tmp_path / "out", "yes")
    audit = bestiary.scan(data, not_duplicates=file, quiet=True)
    assert audit.near_duplicates.height == 2


def test_decisions_are_not_written_over(data: Path, tmp_path: Path) -> None:
    bestiary.scan(data, out=tmp_path / "out", quiet=True)
    bestiary.scan(data, out=tmp_path / "out", quiet=True)  # nothing is decided yet
    decide(tmp_path / "out", "no")
    with pytest.raises(DataError, match="has decisions; follow them with --not-duplicates"):
        bestiary.scan(data, out=tmp_path / "out", quiet=True)


def test_wrong_tables_are_refused(data: Path, tmp_path: Path) -> None:
    bestiary.scan(data, out=tmp_path / "out", quiet=True)
    file = decide(tmp_path / "out", "perhaps")
    with pytest.raises(DataError, match=r"decision 'perhaps' of .*: must be no or yes or empty"):
        bestiary.scan(data, not_duplicates=file, quiet=True)
    with pytest.raises(DataError, match="no such file"):
        bestiary.scan(data, not_duplicates=tmp_path / "gone.csv", quiet=True)
    (tmp_path / "other.csv").write_text("path,other\na,b\n")
    with pytest.raises(DataError, match="has no column 'decision'"):
        bestiary.scan(data, not_duplicates=tmp_path / "other.csv", quiet=True)

    file = decide(tmp_path / "out", "no")
    other = shutil.copytree(data, tmp_path / "elsewhere")
    (other / "b/near.jpg").unlink()
    with pytest.raises(DataError, match=r"b/near\.jpg is not among the images"):
        bestiary.scan(other, not_duplicates=file, quiet=True)


@pytest.mark.parametrize("last", ["b,a,no", "b,a, YES "])
def test_a_pair_has_one_decision(last: str, tmp_path: Path) -> None:
    file = tmp_path / "not_duplicates.csv"
    file.write_text(f"path,other,decision\na,b,no\nc,d,\n{last}\n")
    if "YES" in last:
        with pytest.raises(DataError, match="a and b have both yes and no; keep one row"):
            read_decisions(file)
    else:
        assert read_decisions(file).height == 2


@pytest.mark.parametrize("paths", [[[1]], [1.5], [b"a"]])
def test_paths_that_are_no_text_are_refused(paths: list[object], tmp_path: Path) -> None:
    file = tmp_path / "not_duplicates.parquet"
    pl.DataFrame({"path": paths, "other": ["b"], "decision": ["no"]}).write_parquet(file)
    with pytest.raises(DataError, match="the column path must hold text"):
        read_decisions(file)


def test_whole_numbers_are_names_of_files(tmp_path: Path) -> None:
    file = tmp_path / "not_duplicates.parquet"
    pl.DataFrame({"path": [1], "other": [2.0], "decision": ["no"]}).write_parquet(file)
    assert read_decisions(file).rows() == [("1", "2", "no")]
