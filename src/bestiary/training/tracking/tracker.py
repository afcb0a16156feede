"""What is told of a run, and trackers that may fail: a run in training never stops for them.

Knows no tracker by name.
"""

import re
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from bestiary.errors import one_line

PATIENCE = 60.0  # seconds that a tracker may take for one thing
_USER = re.compile(r"://[^/@\s]+@")
Parameters = Mapping[str, str | int | float | bool]


@dataclass(frozen=True, slots=True)
class Tracked:
    """What a tracker shows as one run: a fold, or all folds together.

    Attributes:
        project: name of the project or experiment.
        group: name of bestiary's run, which its folds share.
        id: of bestiary's run, the same whenever it is resumed, and never that of another.
        fold: number of the fold; None: all folds together.
        parameters: the recipe and the numbers of the data.
    """

    project: str
    group: str
    id: str
    fold: int | None
    parameters: Parameters

    @property
    def name(self) -> str:
        """Name of this part.

        Example:
            >>> Tracked("bestiary", "first-run", "0a1b", 2, {}).name
            'first-run-fold-2'
        """
        return self.group if self.fold is None else f"{self.group}-fold-{self.fold}"

    @property
    def part_id(self) -> str:
        """Identifier of this part."""
        return self.id if self.fold is None else f"{self.id}-fold-{self.fold}"


class Tracker(Protocol):
    """Where the numbers of one fold, or of all folds together, are shown."""

    def log(self, metrics: Mapping[str, float], step: int | None) -> None:
        """Take numbers, of an epoch or of the end (None)."""

    def log_files(self, files: Sequence[Path]) -> None:
        """Take copies of files."""

    def finish(self, ended: bool) -> None:
        """Close; tell whether the work is done or was broken off."""


class Trackers:
    """Several trackers. One that fails is left out from then on, and a notice says so.

    Args:
        notice: shows the user a line.
        told: names of the trackers whose failure the user knows already; added to.
        patience: seconds that a tracker may take for one thing.
    """

    def __init__(
        self,
        notice: Callable[[str], object],
        told: set[str] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._notice = notice
        self._told = set() if told is None else told
        self._patience = patience
        self._trackers: dict[str, Tracker] = {}

    def start(self, name: str, build: Callable[[], Tracker]) -> None:
        """Start a tracker.

        Args:
            name: by which the user knows it.
            build: starts it.
        """

        def add() -> None:
            self._trackers[name] = build()

        self._attempt(name, add)

    def log(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Give numbers to each tracker."""
        self._each(lambda tracker: tracker.log(metrics, step))

    def log_files(self, files: Sequence[Path]) -> None:
        """Give copies of files to each tracker."""
        self._each(lambda tracker: tracker.log_files(files))

    def finish(self, ended: bool) -> None:
        """Close each tracker; tell whether the work is done or was broken off."""
        self._each(lambda tracker: tracker.finish(ended))
        self._trackers.clear()

    def _each(self, action: Callable[[Tracker], None]) -> None:
        for name, tracker in list(self._trackers.items()):
            self._attempt(name, partial(action, tracker))

    def _attempt(self, name: str, action: Callable[[], None]) -> None:
        """Let a tracker do something, in a thread of its own: what hangs cannot be stopped."""
        errors: list[str] = [f"no answer in {self._patience:g} s"]

        def run() -> None:
            try:
                action()
                errors.clear()
            except Exception as error:  # of any library
                errors[:] = [one_line(error)]

        thread = threading.Thread(target=run, name=f"tracker {name}", daemon=True)
        # Results alone go to standard output. Trackers print addresses.
        with redirect_stdout(sys.stderr):
            thread.start()
            thread.join(self._patience)
        if errors:
            self._trackers.pop(name, None)
            self._tell(name, without_secrets(errors[0]))

    def _tell(self, name: str, reason: str) -> None:
        if name not in self._told:
            self._told.add(name)
            self._notice(
                f"{name}: does not take the numbers of this run ({reason}); training goes on, and "
                "the next fold tries again"
            )


def without_secrets(text: str) -> str:
    """Remove the user names and passwords of addresses.

    Example:
        >>> without_secrets("postgresql://me:secret@host/db is down")
        'postgresql://host/db is down'
    """
    return _USER.sub("://", text)
