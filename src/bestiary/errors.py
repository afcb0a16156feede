"""The exceptions that bestiary raises, as one tree, each with a message that names the remedy.

::

    BestiaryError              one clear line: the value, the cause, the remedy
    ├── ArgumentError          a value given on the command line or to a function
    ├── RecipeError            a recipe's key or value
    ├── DataError              a folder, table, manifest or fold file
    │   └── ImageError         an image that cannot be decoded; `reason` is a short phrase
    │       ├── ForeignError   its bytes are no image of a supported format
    │       └── OversizeError  it claims more pixels, or more work, than is allowed
    ├── WeightsError           a backbone's name or its weights
    ├── RunError               a run directory: missing, taken, incomplete or unreadable
    │   └── DamagedError       a file of a run that has changed since it was written
    ├── ForkError              a forked process that would wait for ever for its parent's threads
    └── LocalRankError         a failure that one rank of distributed training meets alone

The command line prints the message of a `BestiaryError` on one line and exits with code 2. Any
other exception is a bug in bestiary and keeps its traceback.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Self


def one_line(error: Exception, max_length: int = 120) -> str:
    r"""Shorten the message of another library's error to one line.

    Args:
        error: the error; without a message, its type is named instead.
        max_length: most characters to keep.

    Example:
        >>> one_line(ValueError("two\n lines"))
        'two lines'
    """
    return " ".join(str(error).split())[:max_length] or type(error).__name__


def alternatives(words: Sequence[str]) -> str:
    """Name what an option takes, for the remedy in an error.

    Args:
        words: two or more.

    Example:
        >>> alternatives(["90s", "5min", "never"])
        '90s, 5min or never'
    """
    return f"{', '.join(words[:-1])} or {words[-1]}"


class BestiaryError(Exception):
    """The base of all errors that bestiary foresees.

    Its message is one line that names the value, the cause and the remedy.

    Example:
        >>> import bestiary
        >>> try:
        ...     bestiary.show("missing")
        ... except bestiary.BestiaryError as error:
        ...     print(error)
        missing: no such run; check the path, or make one with bestiary train DATA missing
    """


class ArgumentError(BestiaryError, ValueError):
    """An argument of a command or function is out of range or contradicts another."""


class RecipeError(BestiaryError, ValueError):
    """A recipe has a key that does not exist or a value out of its range."""


class DataError(BestiaryError):
    """A data folder, table, manifest or fold file cannot be used as it is."""


class ImageError(DataError):
    """An image cannot be decoded.

    Attributes:
        reason: a short phrase such as ``"truncated"``, as written to ``quarantine.csv``.
    """

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


class ForeignError(ImageError):
    """The bytes are no image of a supported format."""


class OversizeError(ImageError):
    """An image claims more pixels, or more work to decode them, than is allowed."""


class WeightsError(BestiaryError):
    """A backbone is unknown, or its weights are missing or do not fit."""


class RunError(BestiaryError):
    """A run directory is missing, already taken, incomplete or written by another version."""


class DamagedError(RunError):
    """A file of a run is missing, cut short or changed, or bestiary did not write it."""

    @classmethod
    def foreign(cls, file: str | Path, reason: str = "", remedy: str = "") -> Self:
        """Build the error for a file whose content bestiary would not have written.

        Args:
            file: the file, as its user knows it.
            reason: what is wrong in it.
            remedy: what the user can do.

        Example:
            >>> print(DamagedError.foreign("run/ensemble.json", "no key 'view'", "remove it"))
            run/ensemble.json: is not what bestiary writes (no key 'view'); remove it
        """
        message = f"{file}: is not what bestiary writes"
        if reason:
            message += f" ({reason})"
        if remedy:
            message += f"; {remedy}"
        return cls(message)


class ForkError(BestiaryError):
    """A process was forked from one that had computed, and would never get an answer."""


class LocalRankError(BestiaryError):
    """One rank of distributed training failed where the other ranks cannot be notified."""


def named_error(name: str, message: str) -> "BestiaryError | None":
    """Make the error that another process has met, from the name of its class.

    Args:
        name: of the class.
        message: of the error.

    Returns:
        The error; None where no `BestiaryError` has that name.
    """
    kind = globals().get(name)
    if isinstance(kind, type) and issubclass(kind, BestiaryError):
        return kind(message)
    return None


class Interrupted(KeyboardInterrupt):
    """Ctrl-C, SIGTERM or SIGHUP. The code that started the work tells the user how to resume it.

    Attributes:
        number: number of the signal.
        agreed: whether all processes that train the fold stop for it, at the same step.
    """

    def __init__(self, number: int, agreed: bool = False) -> None:
        super().__init__(number)
        self.number = number
        self.agreed = agreed
