"""Classes that a run lacks: what they may be, and the map that a person gives."""

from pathlib import Path

import polars as pl
import pytest

from bestiary.errors import ArgumentError
from bestiary.evaluation.class_map import (
    Suggestion,
    alike,
    check_class_map,
    read_class_map,
    suggest_classes,
)

CLASSES = ["POLYGONIA", "COMMA", "RED_ADMIRAL"]


def test_pairs_and_tables_are_read_together(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    table.write_text("from,to\nred admiral,RED_ADMIRAL\na=b,COMMA\n")
    mapping = read_class_map(["QUESTION MARK = POLYGONIA", str(table)])
    assert mapping == {
        "QUESTION MARK": "POLYGONIA",
        "red admiral": "RED_ADMIRAL",
        "a=b": "COMMA",
    }


@pytest.mark.parametrize(
    ("entries", "words"),
    [
        (["POLYGONIA"], "must be NAME=CLASS"),
        (["=POLYGONIA"], "must be NAME=CLASS"),
        (["A="], "must be NAME=CLASS"),
        (["A=COMMA", "A=POLYGONIA"], "given as 'COMMA' and as 'POLYGONIA'"),
        (["missing.csv"], "no such file"),
    ],
)
def test_other_entries_are_refused(entries: list[str], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        read_class_map(entries)


def test_table_of_other_columns_is_refused(tmp_path: Path) -> None:
    table = tmp_path / "names.csv"
    table.write_text("old,new\na,b\n")
    with pytest.raises(ArgumentError, match="has the columns old, new; it needs from and to"):
        read_class_map([str(table)])


@pytest.mark.parametrize(
    ("mapping", "words"),
    [
        ({"QUESTON MARK": "COMMA"}, "did you mean 'QUESTION MARK'"),
        ({"QUESTION MARK": "Coma"}, "the run has no class 'Coma'; did you mean 'COMMA'"),
        ({"QUESTION MARK": "zzz"}, "choose of COMMA, POLYGONIA, RED_ADMIRAL"),
    ],
)
def test_unknown_names_are_refused(mapping: dict[str, str], words: str) -> None:
    with pytest.raises(ArgumentError, match=words):
        check_class_map(mapping, {"QUESTION MARK", "COMMA"}, CLASSES)


def test_names_are_compared_by_their_words() -> None:
    assert alike("Red-Admiral", CLASSES) == "RED_ADMIRAL"
    assert alike("zebra", CLASSES) is None


def test_duplicates_tell_more_than_names() -> None:
    foreign = pl.DataFrame(
        {
            "label": ["QUESTION MARK", "QUESTION MARK", "red admiral", "Coma", "zebra"],
            "original": ["p/1.jpg", None, "c/1.jpg", None, None],
        }
    )
    training = pl.DataFrame({"path": ["p/1.jpg", "c/1.jpg"], "label": ["POLYGONIA", "COMMA"]})
    assert suggest_classes(foreign, training, CLASSES) == {
        "QUESTION MARK": Suggestion("POLYGONIA", 1),
        "red admiral": Suggestion("COMMA", 1),
        "Coma": Suggestion("COMMA", 0),
    }


def test_suggestions_have_an_order() -> None:
    names = [f"class {number}" for number in range(20)]
    foreign = pl.DataFrame({"label": names[::-1], "original": ["p/1.jpg"] * 20})
    training = pl.DataFrame({"path": ["p/1.jpg"], "label": ["POLYGONIA"]})
    assert list(suggest_classes(foreign, training, CLASSES)) == sorted(names)
