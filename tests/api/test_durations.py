"""Durations as people write them, and what is none."""

import pytest

from bestiary.api.durations import parse_duration
from bestiary.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5min", 300), ("1.5h", 5400), ("never", float("inf"))]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize("text", ["", "5", "0s", "-5min", "5 weeks", "1e9s", "nan"])
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ArgumentError, match="checkpoint-every"):
        parse_duration(text)
