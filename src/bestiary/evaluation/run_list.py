"""A folder -> the runs below it, each with its score or how far it is trained."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from bestiary.errors import BestiaryError
from bestiary.numbers import count, counted, percent, percent_range
from bestiary.printable import printable_name
from bestiary.run.layout import RECIPE, TRIALS
from bestiary.run.run import Run

MAX_DEPTH = 3  # folders below the one that is searched
MAX_FOLDERS = 20_000  # that are looked into
MAX_RUNS = 200


class ListedRun(NamedTuple):
    """A run of the list.

    Attributes:
        run: its path below the folder.
        state: its score, or how many folds have ended, or why it cannot be read; in words.
        accuracy: as in metrics.json; None where there is none yet.
    """

    run: str
    state: str
    accuracy: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class RunList:
    """What `show` prints without a run.

    Attributes:
        folder: that was searched.
        rows: the runs, sorted by path.
        complete: whether all folders were looked into.
    """

    folder: Path
    rows: list[ListedRun]
    complete: bool

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        runs = [row._asdict() for row in self.rows]
        return {"folder": self.folder.absolute(), "runs": runs, "complete": self.complete}

    def __str__(self) -> str:
        if not self.rows:
            return (
                f"No run in {printable_name(self.folder.absolute())} or {MAX_DEPTH} folders below; "
                "make one: bestiary probe IMAGES RUN"
            )
        names = [printable_name(row.run) for row in self.rows]
        width = max(map(len, names))
        states = [row.state for row in self.rows]
        lines = [f"{name:<{width}}  {state}" for name, state in zip(names, states, strict=True)]
        if not self.complete:
            lines.append(f"There may be more: the search ended at {counted(len(self.rows), 'run')}")
        return "\n".join(lines)


def list_runs(folder: Path) -> RunList:
    """List the runs in a folder and in those below it.

    Args:
        folder: to search; hidden folders and links are left out.

    Returns:
        The list, sorted by path. A run that cannot be read has its reason.
    """
    rows = []
    search = _Search(folder)
    for place in search.runs():
        rows.append(ListedRun(str(place.relative_to(folder)), *_state(place)))
        if len(rows) == MAX_RUNS:
            return RunList(folder, sorted(rows), complete=False)
    return RunList(folder, sorted(rows), complete=search.complete)


@dataclass(slots=True)
class _Search:
    """A search for runs.

    Attributes:
        folder: to search.
        complete: whether all folders were looked into, so far.
    """

    folder: Path
    complete: bool = True

    def runs(self) -> Iterator[Path]:
        """Yield the folders of runs; the trials in them are none of their own."""
        for seen, (place, names, files) in enumerate(os.walk(self.folder)):
            here = Path(place)
            if seen == MAX_FOLDERS:
                self.complete = False
                return
            if RECIPE in files:
                yield here
            is_deep = len(here.relative_to(self.folder).parts) >= MAX_DEPTH
            kept = [name for name in names if not name.startswith(".") and name != TRIALS]
            names[:] = [] if is_deep or RECIPE in files else kept


def _state(place: Path) -> tuple[str, dict[str, Any] | None]:
    """Say the score of a run, or how many folds have ended; return the score too."""
    try:
        run = Run.open(place)
        scores = run.read_scores()
        if scores is None:
            folds = run.fold_numbers()
            ended = sum(run.fold(fold).ended for fold in folds)
            return f"{ended} of {count(len(folds), 'fold')} ended", None
        accuracy = scores["accuracy"]
        interval = percent_range(accuracy["low"], accuracy["high"])
        images = count(accuracy["n"], "image")
        return f"{percent(accuracy['value'])} ({interval}), {images}", accuracy
    except BestiaryError as error:
        return printable_name(f"cannot be read: {error}"), None
