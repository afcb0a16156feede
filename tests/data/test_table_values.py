"""Columns of any type as text: missing values, whole numbers, spaces and Unicode forms."""

import datetime
import unicodedata

import polars as pl
import pytest

from bestiary.data.table_values import clean_text, text_of_column
from bestiary.tables import TableError

NAN = float("nan")


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ([1.0, NAN, 2.0], ["1", None, "2"]),
        ([1.0, None, 2.0], ["1", None, "2"]),
        ([3, 1], ["3", "1"]),
        ([True, False], ["true", "false"]),
        (["a", None], ["a", None]),
        ([datetime.date(2020, 1, 2)], ["2020-01-02"]),
        ([None, None], [None, None]),
    ],
)
def test_values_of_any_type_are_text(values: list[object], text: list[str | None]) -> None:
    assert text_of_column(pl.Series("label", values)).to_list() == text


def test_categories_are_text() -> None:
    for kind in (pl.Categorical, pl.Enum(["a", "b"])):
        column = pl.Series("label", ["b", "a"], kind)
        assert text_of_column(column).to_list() == ["b", "a"]


@pytest.mark.parametrize("values", [[0.5, 1.0], [["a"]], [{"a": 1}], [b"a"]])
def test_values_that_name_no_class_are_refused(values: list[object]) -> None:
    with pytest.raises(TableError, match="label"):
        text_of_column(pl.Series("label", values))


def clean(*values: str | None, name: str = "label") -> list[str | None]:
    return clean_text(pl.Series(name, values, pl.String))[0].to_list()


def notes(*values: str | None, name: str = "label") -> list[str]:
    return clean_text(pl.Series(name, values, pl.String))[1]


def test_spaces_and_empty_text() -> None:
    assert clean(" cat", "cat ", "", "  ", None) == ["cat", "cat", None, None, None]


@pytest.mark.parametrize("word", ["nan", "NaN", "<NA>", "NaT"])
def test_words_of_pandas_for_missing(word: str) -> None:
    assert clean("cat", word) == ["cat", None]
    assert "1 value " in notes("cat", word)[0]
    assert clean("g1", word, name="group") == ["g1", None]


@pytest.mark.parametrize("word", ["None", "NA", "null", "unknown"])
def test_words_that_may_be_a_class_stay_and_are_named(word: str) -> None:
    assert clean("cat", word) == ["cat", word]
    assert word in notes("cat", word)[0]


def test_whole_numbers_with_gaps_lose_their_point() -> None:
    assert clean("0.0", None, "12.0") == ["0", None, "12"]
    assert "without .0" in notes("0.0", "1.0")[0]
    assert clean("1.0", "v2") == ["1.0", "v2"]  # names of versions stay
    assert clean("007", "7") == ["007", "7"]


def test_labels_have_one_unicode_form() -> None:
    decomposed = unicodedata.normalize("NFD", "Ångström")
    assert clean(decomposed) == [unicodedata.normalize("NFC", "Ångström")]


def test_paths_keep_their_form() -> None:
    decomposed = unicodedata.normalize("NFD", "é.jpg")
    text, lines = clean_text(pl.Series("path", [f"a\\{decomposed} ", "nan"]), is_path=True)
    assert text.to_list() == [f"a\\{decomposed}", "nan"]
    assert lines == []
