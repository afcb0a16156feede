"""Fixes: read and checked, applied to a listing, never to the data folder."""

from pathlib import Path

import polars as pl
import pytest

from bestiary.data.fixes import apply_fixes, read_fixes
from bestiary.data.listing_types import Listing
from bestiary.errors import DataError

HEAD = "path,given,suggested,score,action\n"


@pytest.fixture
def listing() -> Listing:
    rows = [
        ("a/1.jpg", "a", None, None),
        ("a/2.jpg", "a", "g", None),
        ("b/3.jpg", "b", None, "val"),
    ]
    return Listing(
        Path("data"), pl.DataFrame(rows, schema=["path", "label", "group", "split"], orient="row")
    )


def fixes(tmp_path: Path, text: str) -> Path:
    (tmp_path / "fixes.csv").write_text(HEAD + text)
    return tmp_path / "fixes.csv"


def test_decided_fixes_apply_and_undecided_rows_stay(listing: Listing, tmp_path: Path) -> None:
    text = 'b/3.jpg,b,"a, or so",0.1,Relabel \na/2.jpg,a,b,0.2,drop\na/1.jpg,a,b,0.3,\n'
    decided = read_fixes(fixes(tmp_path, text))
    assert decided["action"].to_list() == ["drop", "relabel"]
    fixed = apply_fixes(listing, decided)
    assert fixed.table.rows() == [
        ("a/1.jpg", "a", None, None),
        ("b/3.jpg", "a, or so", None, "val"),
    ]
    assert fixed.unusable == [("a/2.jpg", "dropped by --fixes")]
    assert listing.table["label"].to_list() == ["a", "a", "b"]


def test_typed_labels_are_names_of_classes(listing: Listing, tmp_path: Path) -> None:
    """A space behind, or an accent in two characters, makes no new class."""
    decided = read_fixes(fixes(tmp_path, "b/3.jpg,b,a ,0.1,relabel\na/1.jpg,a,e\u0301,0,relabel\n"))
    assert apply_fixes(listing, decided).table["label"].to_list() == ["\u00e9", "a", "a"]
    blank = fixes(tmp_path, 'b/3.jpg,b," ",0.1,relabel\n')
    with pytest.raises(DataError, match="no suggested label"):
        read_fixes(blank)


def test_no_file_and_kept_labels_change_nothing(listing: Listing, tmp_path: Path) -> None:
    assert apply_fixes(listing, read_fixes(None)).table.equals(listing.table)
    kept = read_fixes(fixes(tmp_path, "a/1.jpg,a,b,0.3,keep\n"))
    assert kept.height == 1 and apply_fixes(listing, kept).table.equals(listing.table)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "a/1.jpg,a,b,0.3,delete\n",
            "action 'delete' of a/1.jpg: must be keep, relabel, drop or empty",
        ),
        ("a/1.jpg,a,,0.3,relabel\n", "a/1.jpg is to be relabeled and has no suggested label"),
        ("a/1.jpg,a,b,0.3,drop\na/1.jpg,a,b,0.3,keep\n", "names a/1.jpg more than once"),
        ("a/1.jpg,a,b,low,drop\n", "the column score must hold numbers"),
    ],
)
def test_invalid_fixes_are_one_clear_line(text: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_fixes(fixes(tmp_path, text))
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("c/1.jpg,a,b,0.3,drop\n", "c/1.jpg is not among the images"),
        ("b/3.jpg,a,b,0.3,keep\n", "b/3.jpg is labeled 'b' now and was 'a'"),
    ],
)
def test_fixes_for_other_data_are_refused(
    text: str, message: str, listing: Listing, tmp_path: Path
) -> None:
    with pytest.raises(DataError, match=message):
        apply_fixes(listing, read_fixes(fixes(tmp_path, text)))


def test_file_without_fixes_columns_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.csv").write_text("path,label\na,b\n")
    with pytest.raises(DataError, match="has no column 'given'"):
        read_fixes(tmp_path / "other.csv")
    with pytest.raises(DataError, match="no such file"):
        read_fixes(tmp_path / "absent.csv")


def test_columns_of_other_types_are_refused(tmp_path: Path) -> None:
    row = {"path": ["a/1.jpg"], "given": [["a"]], "suggested": ["b"], "score": [0.3]}
    pl.DataFrame({**row, "action": ["drop"]}).write_parquet(tmp_path / "fixes.parquet")
    with pytest.raises(DataError, match="the column given must hold text"):
        read_fixes(tmp_path / "fixes.parquet")
