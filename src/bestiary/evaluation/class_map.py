"""Classes that a run lacks -> the nearest class of the run, and a map that a person has given.

Names differ between data sets (QUESTION MARK, Polygonia interrogationis). Images of such a class
are not scored until somebody says what they are. Renames nothing by itself.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.data.listing_tables import read_table
from bestiary.errors import ArgumentError
from bestiary.printable import shell_name

TABLE_KINDS = (".csv", ".tsv", ".parquet")
MIN_LIKENESS = 0.6  # of two names, 0 to 1, as difflib measures it


@dataclass(frozen=True, slots=True)
class Suggestion:
    """A class of the run that a foreign class may be.

    Attributes:
        name: of the run's class.
        duplicates: images of the foreign class that are duplicates of that class's; 0: only the
            names are alike.
    """

    name: str
    duplicates: int


def map_option(name: str, own: str) -> str:
    """Return the option that maps a foreign class to one of the run's, as a shell takes it.

    Example:
        >>> map_option("Fuchs rot", "Vulpes vulpes")
        "--map 'Fuchs rot=Vulpes vulpes'"
    """
    if "=" in f"{name}{own}":  # else the pair could be read in two ways
        return "--map TABLE.csv, with the columns from,to"
    return f"--map {shell_name(f'{name}={own}')}"


def read_class_map(entries: Sequence[str]) -> dict[str, str]:
    """Read what ``--map`` gives: pairs ``NAME=CLASS``, or tables with the columns from,to.

    Args:
        entries: the values of the option.

    Returns:
        Foreign class -> class of the run.

    Raises:
        ArgumentError: an entry is neither, or two entries disagree.
        DataError: a table cannot be read.

    Example:
        >>> read_class_map(["QUESTION MARK=POLYGONIA"])
        {'QUESTION MARK': 'POLYGONIA'}
    """
    mapping: dict[str, str] = {}
    for entry in entries:
        for foreign, own in _pairs(entry):
            if mapping.setdefault(foreign, own) != own:
                raise ArgumentError(
                    f"--map: {foreign!r} is given as {mapping[foreign]!r} and as {own!r}; keep one"
                )
    return mapping


def _pairs(entry: str) -> Iterable[tuple[str, str]]:
    if entry.lower().endswith(TABLE_KINDS):
        return _pairs_of_table(Path(entry))
    foreign, sign, own = entry.partition("=")
    if not (sign and foreign.strip() and own.strip()):
        raise ArgumentError(
            f"--map {entry}: must be NAME=CLASS, a name in the images and a class of the run, or a "
            "table (.csv, .tsv, .parquet) with the columns from,to"
        )
    return [(foreign.strip(), own.strip())]


def _pairs_of_table(file: Path) -> list[tuple[str, str]]:
    if not file.is_file():
        raise ArgumentError(f"--map {file}: no such file; give a table with the columns from,to")
    table = read_table(file)
    if not {"from", "to"} <= set(table.columns):
        columns = ", ".join(table.columns[:8])
        raise ArgumentError(f"--map {file}: has the columns {columns}; it needs from and to")
    pairs = table.select(pl.col("from", "to").cast(pl.String).str.strip_chars()).drop_nulls()
    return [(str(foreign), str(own)) for foreign, own in pairs.iter_rows()]


def check_class_map(
    mapping: Mapping[str, str], foreign: Iterable[str], classes: Sequence[str]
) -> None:
    """Refuse a map that names what is not there.

    Args:
        mapping: foreign class -> class of the run.
        foreign: classes of the images.
        classes: classes of the run.

    Raises:
        ArgumentError: an image class or a class of the run is unknown.
    """
    known = set(foreign)
    for name, own in mapping.items():
        if name not in known:
            raise ArgumentError(
                f"--map {name}={own}: no image has the class {name!r}{_nearest(name, known)}"
            )
        if own not in classes:
            raise ArgumentError(
                f"--map {name}={own}: the run has no class {own!r}{_nearest(own, classes)}"
            )


def _nearest(name: str, known: Iterable[str]) -> str:
    near = alike(name, known)
    return f"; did you mean {near!r}?" if near else f"; choose of {', '.join(sorted(known)[:12])}"


def alike(name: str, names: Iterable[str]) -> str | None:
    """Find the name that is most like another, whatever its case and its signs between words.

    Args:
        name: to look for.
        names: to look in.

    Returns:
        One of `names`, or None if none is alike.

    Example:
        >>> alike("question_mark", ["QUESTION MARK", "COMMA"])
        'QUESTION MARK'
    """
    by_words = {_words(one): one for one in names}
    near = difflib.get_close_matches(_words(name), by_words, 1, MIN_LIKENESS)
    return by_words[near[0]] if near else None


def _words(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


def suggest_classes(
    foreign: pl.DataFrame, training: pl.DataFrame, classes: Sequence[str]
) -> dict[str, Suggestion]:
    """Suggest a class of the run for each class that it lacks.

    Duplicates of training images are the surer hint: the same photograph has two names.

    Args:
        foreign: images of classes that the run lacks; columns label and original, the path of a
            training image that it is a duplicate of, or null.
        training: the run's manifest; columns path and label.
        classes: classes of the run.

    Returns:
        Foreign class -> suggestion, for those that have one.
    """
    originals = training.select(original="path", own="label")
    shared = foreign.drop_nulls("original").join(originals, on="original")
    counts = shared.group_by("label", "own").len()
    counts = counts.sort("len", "own", "label", descending=[True, False, False])

    suggestions: dict[str, Suggestion] = {}
    for label, own, count in counts.iter_rows():
        suggestions.setdefault(label, Suggestion(own, count))
    for label in foreign["label"].unique(maintain_order=True):
        near = None if label in suggestions else alike(label, classes)
        if near:
            suggestions[label] = Suggestion(near, 0)
    return suggestions
