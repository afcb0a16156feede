"""Numbers as people write them on the command line -> int and float, or one line that says why not.

Without this, 1.5 epochs would be 2, 0x10 folds 16, and 5% an error without a remedy.
"""

import math
import re
from collections.abc import Sequence
from typing import Annotated, Any, get_args

from cyclopts import Parameter, Token, convert

from bestiary.argument_types import choices, is_sequence
from bestiary.errors import ArgumentError

MAX_LENGTH = 40  # of a number; longer ones are not quoted whole
_WHOLE = re.compile(r"[+-]?[0-9]+")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")


def with_checked_numbers(hint: Any) -> Any:
    """Add to the type of an option that its numbers are checked as text first.

    Args:
        hint: type of a verb's parameter.

    Returns:
        The type; as it is where it takes no numbers alone.

    Example:
        >>> with_checked_numbers(str | None) == str | None
        True
    """
    kinds = _leaves(hint) - {type(None)}
    if not kinds or not kinds <= {int, float}:
        return hint

    def checked(kind: Any, tokens: Sequence[Token]) -> Any:
        for token in tokens:
            check_number(token.keyword or "", token.value, is_whole=float not in kinds)
        return convert(kind, tokens)

    return Annotated[hint, Parameter(converter=checked)]


def check_number(option: str, text: str, *, is_whole: bool) -> None:
    """Refuse what is no plain decimal number, or is none that can be counted with.

    Args:
        option: that the number is of.
        text: as it is written.
        is_whole: whether the number must be whole.

    Raises:
        ArgumentError: with what to write instead.

    Example:
        >>> check_number("--folds", "5", is_whole=True)
    """
    if len(text) <= MAX_LENGTH:
        if _WHOLE.fullmatch(text):
            return
        if not is_whole and _NUMBER.fullmatch(text) and math.isfinite(float(text)):
            return
    shown = text if len(text) <= MAX_LENGTH else f"{text[:MAX_LENGTH]}..."
    kind = "whole number" if is_whole else "number"
    raise ArgumentError(f"{option} {shown}: is no {kind}; {_remedy(text, is_whole)}")


def _remedy(text: str, is_whole: bool) -> str:
    """Say what to write: the same number, where it is clear which is meant."""
    plain = text.strip().rstrip("%").strip().replace(",", ".")
    if len(text) > MAX_LENGTH or is_whole or not _NUMBER.fullmatch(plain):
        return "write one such as 3" if is_whole else "write one such as 0.5"
    value = float(plain) / 100 if "%" in text else float(plain)
    return f"write {value:g}" if math.isfinite(value) else "write a smaller one"


def _leaves(hint: Any) -> set[Any]:
    """The types that one value of a hint may have."""
    leaves: set[Any] = set()
    for choice in choices(hint):
        leaves |= set().union(*map(_leaves, get_args(choice))) if is_sequence(choice) else {choice}
    return leaves
