"""Durations as people write them, and what is none: the error names what the option does take."""

from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary.api.durations import CHECKPOINT_TIMES, parse_duration
from bestiary.errors import ArgumentError


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("5min", 300), ("1.5h", 5400), ("never", float("inf"))]
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text, "--checkpoint-every", CHECKPOINT_TIMES) == seconds


@pytest.mark.parametrize(
    "text", ["", "5", "0s", "-5min", "5 weeks", "1e9s", "nan", "\u0665min", "5\u00b7min", "1_0s"]
)
def test_invalid_durations(text: str) -> None:
    with pytest.raises(ArgumentError, match=r"checkpoint-every .* give 90s, 5min, 2h or never$"):
        parse_duration(text, "--checkpoint-every", CHECKPOINT_TIMES)


@pytest.mark.parametrize(
    ("verb", "option", "words"),
    [
        ("train", "--checkpoint-every", "90s, 5min, 2h or never"),
        ("train", "--budget", "10min, 30min, 2h or auto"),
        ("advise", "--budget", "90s, 30min or 2h"),
        ("advise", "--latency", "50ms or 0.5s"),
        ("distill", "--checkpoint-every", "90s, 5min, 2h or never"),
    ],
)
@pytest.mark.parametrize("text", ["soon", "never", "auto", "inf"])
def test_the_remedy_is_taken(  # of every option that takes a duration
    fails: Callable[..., str], tmp_path: Path, verb: str, option: str, words: str, text: str
) -> None:
    """A word that the message offers is taken, and a word that it does not is refused."""
    places = [tmp_path / "none", *([] if verb == "advise" else [tmp_path / "run"])]
    if text in words.split():
        assert option not in fails(verb, *places, option, text)  # of the missing folder instead
        return
    assert fails(verb, *places, option, text) == (
        f"bestiary: {option} {text}: is not a duration; give {words}"
    )
