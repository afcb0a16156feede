"""Natural order of class names: numbers by value, letters without case."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bestiary.data.natural_order import natural_key


@pytest.mark.parametrize(
    "names",
    [
        ["0", "1", "2", "9", "10", "11", "99", "100"],
        ["class 2", "class 10", "class 10 b", "class 10 c"],
        ["2", "10", "ape", "bear 2", "bear 10", "Cat", "dog"],
        ["a2b3", "a2b12", "a10b1"],
        ["img-9.jpg", "img-10.jpg"],
        ["", "0", "a"],
        ["été 2", "été 11"],
        ["犬2", "犬10"],
        ["x²", "x³"],
        ["a 1", "a 2", "b"],
    ],
)
def test_names_sort_as_people_expect(names: list[str]) -> None:
    assert sorted(reversed(names), key=natural_key) == names
    assert sorted(names, key=natural_key) == names


def test_the_hundred_numbered_classes_sort_as_numbers() -> None:
    assert sorted(sorted(map(str, range(100))), key=natural_key) == [str(i) for i in range(100)]


def test_letter_case_decides_between_equals_only() -> None:
    assert sorted(["b", "B", "a", "C"], key=natural_key) == ["a", "B", "b", "C"]


def test_leading_zeros_do_not_hide_the_number() -> None:
    assert sorted(["010", "9", "11"], key=natural_key) == ["9", "010", "11"]
    assert natural_key("01") != natural_key("1")


@given(st.lists(st.text(st.sampled_from("aAé犬 0123²٣-."), max_size=8)))
def test_any_names_sort_independently_of_input_order(
    names: list[str],
) -> None:
    ordered = sorted(names, key=natural_key)
    assert sorted(names[::-1], key=natural_key) == ordered
    assert sorted(ordered) == sorted(names)


@given(st.integers(0, 10**30), st.integers(0, 10**30), st.text(st.sampled_from("ab é"), max_size=4))
def test_numbers_compare_by_value_after_a_prefix(one: int, other: int, start: str) -> None:
    assert (natural_key(f"{start}{one}") < natural_key(f"{start}{other}")) == (one < other)
