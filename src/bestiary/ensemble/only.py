"""A list of species -> the classes of a run that may be answered.

Knows nothing of probabilities.
"""

import difflib
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.errors import ArgumentError, one_line
from bestiary.numbers import count, counted, percent
from bestiary.printable import printable_name
from bestiary.regular_files import read_regular

MAX_LIST_BYTES = 10_000_000
ALWAYS = ("empty", "blank")  # classes that a list of species does not remove
MAX_NAMED = 5
MOSTLY = 0.5  # of the probability of an image
QUOTES = "\"'"
SIMILARITY = 0.88  # from here on, an unknown name is taken for a slip of the pen


def read_only(file: Path, classes: Sequence[str]) -> tuple[NDArray[np.bool_], str]:
    """Read a list of species, one a line.

    Empty lines, and lines that start with #, are left out; capitals, quotes around a name and a
    comma after it do not matter.

    Args:
        file: the list.
        classes: names of the classes of a run.

    Returns:
        Whether each class may be answered (classes,); and one line that says what the list does.

    Raises:
        ArgumentError: the list cannot be read, has none of the classes, or has a name that is
            nearly that of a class.
    """
    names = _read_names(file)
    numbers = _numbers_of(names, classes)
    unknown = [name for name in names if not numbers[name]]
    _refuse_slips(file, unknown, classes)
    allowed = np.zeros(len(classes), np.bool_)
    allowed[[number for name in names for number in numbers[name]]] = True
    if not allowed.any():
        known = ", ".join(printable_name(name) for name in classes[:MAX_NAMED])
        raise ArgumentError(
            f"--only {file}: has none of the {counted(len(classes), 'class', 'classes')} of this "
            f"run, such as {known}; write one of its classes a line"
        )
    is_always = np.array([name.casefold() in ALWAYS for name in classes])
    kept = [
        name for name, own, let in zip(classes, is_always, allowed, strict=True) if own and not let
    ]
    allowed |= is_always
    line = (
        f"Only {int(allowed.sum()):,} of {counted(len(classes), 'class', 'classes')} can be "
        "answered"
    )
    if kept:
        line += f", {', '.join(kept)} with them"
    if unknown:
        named = ", ".join(printable_name(name) for name in unknown[:MAX_NAMED])
        more = " ..." if len(unknown) > MAX_NAMED else ""
        verb = "name of the list is no class" if len(unknown) == 1 else "names of the list are none"
        line += f"; {len(unknown):,} {verb} of this run: {named}{more}"
    return allowed, line


class RemovedShares:
    """Sums up what a list has removed from the answers to many images."""

    def __init__(self) -> None:
        """Begin without an image."""
        self.images = 0
        self.total = 0.0
        self.mostly = 0
        self.first = ""

    def add(self, rows: Iterable[Mapping[str, Any]]) -> None:
        """Add rows of predictions; those without the column removed do not count."""
        for row in rows:
            share = row.get("removed")
            if share is None:
                continue
            self.images += 1
            self.total += share
            if share > MOSTLY:
                self.mostly += 1
                self.first = self.first or str(row["path"])

    def __str__(self) -> str:
        """Say what was removed, in one line; empty if there was no list."""
        if not self.images:
            return ""
        line = f"The list took {percent(self.total / self.images)} of the probability away"
        if not self.mostly:
            return f"{line}; of no image the larger part"
        images = count(self.mostly, "image")
        return (
            f"{line}, and of {images} the larger part (column removed; first "
            f"{printable_name(self.first)}): they may show what the list leaves out"
        )


def _read_names(file: Path) -> list[str]:
    try:
        text = read_regular(file, MAX_LIST_BYTES).decode("utf-8-sig")
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"--only {file}: cannot be read ({one_line(error)}); expected a text file "
            "in UTF-8 with one class a line"
        ) from None
    lines = (_plain(line) for line in text.splitlines())
    return list(dict.fromkeys(line for line in lines if line and not line.startswith("#")))


def _numbers_of(names: Sequence[str], classes: Sequence[str]) -> dict[str, list[int]]:
    """Number the class of each name; where only capitals differ, all classes that it may be."""
    number_of = {name: [number] for number, name in enumerate(classes)}
    alike: dict[str, list[int]] = {}
    for number, name in enumerate(classes):
        alike.setdefault(name.casefold(), []).append(number)
    return {name: number_of.get(name) or alike.get(name.casefold(), []) for name in names}


def _plain(line: str) -> str:
    """A line without the quotes and the last comma that spreadsheets write around a name."""
    name = unicodedata.normalize("NFC", line).strip().rstrip(",;").strip()
    is_quoted = len(name) > 2 and name[0] == name[-1] and name[0] in QUOTES
    return name[1:-1].strip() if is_quoted else name


def _refuse_slips(file: Path, unknown: Sequence[str], classes: Sequence[str]) -> None:
    """Refuse a name that is nearly a class: left out in silence, it would hide a species."""
    plain = {name.casefold(): name for name in classes}
    for name in unknown:
        near = difflib.get_close_matches(name.casefold(), plain, 1, SIMILARITY)
        if near:
            raise ArgumentError(
                f"--only {file}: {printable_name(name)} is no class of this run; did you mean "
                f"{printable_name(plain[near[0]])}? Correct it, or write # before it"
            )
