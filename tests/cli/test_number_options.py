"""Numbers on the command line: plain decimals are taken, everything else is refused in one line."""

import re
from collections.abc import Callable
from inspect import signature
from pathlib import Path

import pytest

from bestiary.cli.number_options import with_checked_numbers
from bestiary.cli.verbs import VERBS, verb_function

WHOLE = {"1.5": "3", "1.0": "3", "0x10": "3", "1_0": "3", "\u0663": "3", "None": "3", " 1": "3"}
WHOLE |= {"1e2": "3", "nan": "3", "5%": "3", "1,000": "3", "\u00bd": "3", "true": "3"}
SHARES = {"5%": "0.05", "0,05": "0.05", "0,5 %": "0.005", " 0.2": "0.2", "nan": "0.5"}
SHARES |= {"inf": "0.5", "-inf": "0.5", "0x1p3": "0.5", "1_0.5": "0.5", "\uff11": "0.5"}
SHARES |= {"none": "0.5", "1e999%": "a smaller one", "half": "0.5", "0.5.1": "0.5"}


@pytest.mark.parametrize(("text", "remedy"), WHOLE.items())
@pytest.mark.parametrize("option", ["--epochs", "--only-fold", "--seed"])
def test_what_is_no_whole_number(
    fails: Callable[..., str], tmp_path: Path, option: str, text: str, remedy: str
) -> None:
    """No number is rounded, and none is read in another base."""
    line = fails("train", tmp_path, tmp_path / "run", f"{option}={text}")
    assert line == f"bestiary: {option} {text}: is no whole number; write one such as {remedy}"


@pytest.mark.parametrize(("text", "remedy"), SHARES.items())
@pytest.mark.parametrize("option", ["--coverage", "--promise"])
def test_what_is_no_number(
    fails: Callable[..., str], tmp_path: Path, option: str, text: str, remedy: str
) -> None:
    line = fails("predict", tmp_path / "run", tmp_path, f"{option}={text}")
    assert line.startswith(f"bestiary: {option} {text}: is no number; write ")
    assert line.endswith(f" {remedy}")


def test_a_long_number_is_not_quoted_whole(fails: Callable[..., str], tmp_path: Path) -> None:
    for option in ("--epochs", "--seed"):
        line = fails("train", tmp_path, tmp_path / "run", option, "9" * 10_000)
        assert f"{option} {'9' * 40}...: is no whole number" in line
        assert len(line) < 200


@pytest.mark.parametrize("text", ["1", "+1", "1.", ".5", "0.05", "5e-2", "5E-2", "-0.1", "007"])
def test_plain_numbers_are_taken(fails: Callable[..., str], tmp_path: Path, text: str) -> None:
    assert "is no number" not in fails("predict", tmp_path / "run", tmp_path, f"--risk={text}")


@pytest.mark.parametrize("verb", VERBS)
def test_every_number_of_a_verb_is_checked(verb: str) -> None:
    """Also of those to come: a parameter whose type speaks of int or float."""
    for parameter in signature(verb_function(verb)).parameters.values():
        hint = parameter.annotation
        words = set(re.findall(r"\w+", str(hint)))
        if words & {"int", "float"} and "Literal" not in words:
            # --folds is a number or the name of a file, which its own reader tells apart
            assert "str" in words or with_checked_numbers(hint) != hint, (verb, parameter)


@pytest.mark.parametrize("text", ["0", "-1", "1e-9", "1e30", "1e308"])
@pytest.mark.parametrize("option", ["--max-mb", "--max-megapixels", "--timeout"])
def test_limits_of_a_service(
    fails: Callable[..., str], tmp_path: Path, option: str, text: str
) -> None:
    line = fails("serve", tmp_path / "run", f"{option}={text}")
    assert line.startswith(f"bestiary: {option} ")
    assert "choose above 0, and " in line


@pytest.mark.parametrize("option", ["--max-images", "--queue"])
def test_counts_of_a_service(fails: Callable[..., str], tmp_path: Path, option: str) -> None:
    for text in ("0", "-1", "9" * 30):
        assert "choose above 0" in fails("serve", tmp_path / "run", option, text)
