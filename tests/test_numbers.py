"""Numbers and names for people: one format, never rounded to what they are not."""

import pytest

from bestiary.numbers import count, duration, percent, percent_range, plain_name, points


@pytest.mark.parametrize(
    ("share", "text"),
    [(0, "0.0"), (1, "100.0"), (0.99951, "> 99.9"), (0.0004, "< 0.1"), (0.9416, "94.2")],
)
def test_percent(share: float, text: str) -> None:
    assert percent(share) == f"{text} %".replace(" ", "\xa0")


def test_no_number_breaks_over_lines() -> None:
    texts = [percent(0.5), percent_range(0.1, 0.2), count(3, "image"), duration(75)]
    assert [text for text in texts if "\xa0" not in text] == []
    assert percent_range(0.893, 0.943) == "89.3\u201394.3\xa0%"


def test_points_have_a_true_sign() -> None:
    assert [points(value) for value in (0.012, -0.012, 0.0001, -0.0001)] == [
        "+1.2",
        "\u22121.2",
        "0.0",
        "0.0",
    ]


def test_plain_names() -> None:
    assert plain_name("crocodile_head") == "crocodile head"
    assert plain_name("a\x1b_b") == "a\\x1b b"
    assert plain_name("_") == "(no name)"
    assert plain_name("рысь_山猫") == "рысь 山猫"
