"""Progress of folds on a cluster: reports of many workers -> lines and bars on one display.

Workers report to an actor, and the command that started them polls it. Does not know what the work
is.
"""

import time
from typing import Any, NamedTuple, Self

from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeRemainingColumn,
)

from bestiary.display import Display
from bestiary.printable import printable_name

REPORT_INTERVAL = 1.0  # seconds between two reports of a fold's progress


class Report(NamedTuple):
    """One report of a worker.

    Attributes:
        kind: ``line``, ``notice`` or ``progress``.
        run: name of the run.
        content: a text; of ``progress``, the fold and the share of it that is done.
    """

    kind: str
    run: str
    content: Any


class ProgressActor:
    """Ray actor that collects the reports of all workers."""

    def __init__(self) -> None:
        self._reports: list[Report] = []

    def add(self, report: Report) -> None:
        """Add a report.

        Args:
            report: of any worker.
        """
        self._reports.append(report)

    def take(self) -> list[Report]:
        """Return the reports since the last call."""
        reports = self._reports
        self._reports = []
        return reports


class RemoteSink:
    """Progress sink of a worker: sends everything to the actor, progress once a second.

    Args:
        actor: handle of the `ProgressActor`.
        run: name of the run.
    """

    def __init__(self, actor: Any, run: str) -> None:
        self._actor = actor
        self._run = run
        self._last_progress = 0.0

    def line(self, text: str) -> None:
        """Send a line about the work."""
        self._send("line", text)

    def notice(self, text: str) -> None:
        """Send a line that the user must see even when quiet."""
        self._send("notice", text)

    def progress(self, fold: int, done: float) -> None:
        """Send the share of a fold that is done, unless one was sent a moment ago."""
        if time.monotonic() - self._last_progress >= REPORT_INTERVAL or done == 1:
            self._last_progress = time.monotonic()
            self._send("progress", (fold, done))

    def _send(self, kind: str, content: Any) -> None:
        self._actor.add.remote(Report(kind, self._run, content))


class ProgressBars:
    """A context that shows reports: a bar for each fold on a terminal, lines elsewhere.

    Args:
        display: of the command.
        name_runs: whether to name the run of each report.
    """

    def __init__(self, display: Display, name_runs: bool) -> None:
        self._display = display
        self._name_runs = name_runs
        self._bars = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            TaskProgressColumn(),
            TimeRemainingColumn(compact=True),
            console=display.console,
            transient=True,
            disable=not display.has_bars,
        )
        self._tasks: dict[tuple[str, int], TaskID] = {}

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bars.stop()

    def show(self, reports: list[Report]) -> None:
        """Show reports.

        Args:
            reports: as `ProgressActor.take` returns them.
        """
        for kind, run, content in reports:
            prefix = f"{run}  " if self._name_runs else ""
            if kind == "progress":
                fold, done = content
                self._update_bar(run, fold, done, prefix)
            elif kind == "notice":
                self._display.notice(prefix + content)
            else:
                self._display.line(prefix + content)

    def _update_bar(self, run: str, fold: int, done: float, prefix: str) -> None:
        if (run, fold) not in self._tasks:
            task = self._bars.add_task(printable_name(f"{prefix}fold {fold}"), total=1.0)
            self._tasks[run, fold] = task
        self._bars.update(self._tasks[run, fold], completed=done)
