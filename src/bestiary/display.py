"""Work under way -> what a person sees of it: live bars on a terminal, plain lines elsewhere.

Everything goes to standard error, so that results on standard output can be piped. Knows nothing of
what the work is.
"""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

Tick = Callable[[int, int], None]  # (done, of)


class ProgressSink(Protocol):
    """Who shows what a display elsewhere would: the one display of work that several machines
    do.
    """

    def line(self, text: str) -> None:
        """A line about the work."""

    def notice(self, text: str) -> None:
        """A line that the user must see even when quiet."""

    def progress(self, fold: int, done: float) -> None:
        """So much of a fold is done, 0 to 1."""


class Display:
    """One verb's display.

    Args:
        quiet: show nothing but notices.
        shown: with false not even these, since another process shows them.
        listener: is told everything instead.
    """

    def __init__(
        self, quiet: bool = False, *, shown: bool = True, listener: ProgressSink | None = None
    ) -> None:
        here = shown and listener is None
        self.console = Console(
            stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty(), quiet=not here
        )
        self.quiet = quiet or not shown
        self.listener = listener

    def line(self, text: str) -> None:
        """A line about the work, unless quiet."""
        if not self.quiet:
            self._say(text)

    def notice(self, text: str) -> None:
        """A line that the user must see even when quiet."""
        if self.listener:
            self.listener.notice(text)
        self.console.print(text, markup=False, style="yellow")

    def _say(self, text: str) -> None:
        if self.listener:
            self.listener.line(text)
        self.console.print(text, markup=False)

    @contextmanager
    def counter(self, text: str) -> Iterator[Tick]:
        """A bar while something is counted; gives the function to report by. Elsewhere one line
        at the end.
        """
        started, seen = time.perf_counter(), (0, 0)
        bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=self.quiet or not self.console.is_terminal,
        )
        task = bar.add_task(text, total=None, speed="")

        def tick(done: int, total: int) -> None:
            nonlocal seen
            seen = (done, total)
            bar.update(
                task,
                completed=done,
                total=total,
                speed=f"{done / (time.perf_counter() - started):,.0f}/s",
            )

        with bar:
            yield tick
        if seen[0]:
            seconds = time.perf_counter() - started
            self.line(f"{text}: {seen[0]:,} in {seconds:.1f} s ({seen[0] / seconds:,.0f}/s)")


class TrainingDisplay:
    """The folds of a run in training: fold, epoch, speed, time left for the fold and the run, best
    so far.

    Args:
        display: where to show it.
        folds: the folds that are to be trained.
        of: number of folds in the run.
        epochs: epochs a fold.
    """

    def __init__(self, display: Display, folds: list[int], of: int, epochs: int) -> None:
        self.display = display
        self.of = of
        self.epochs = epochs
        self._waiting = len(folds)
        self._fold = -1
        self._best: float | None = None
        self._images = 0
        self._speed = 0.0
        self._bar = Progress(
            TextColumn("fold {task.fields[fold]}  epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            console=display.console,
            transient=True,
            disable=display.quiet or not display.console.is_terminal,
        )

    def __enter__(self) -> "TrainingDisplay":
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def start_fold(self, fold: int, epochs_done: int, images: int, seen: int = 0) -> None:
        """A fold begins, or goes on after `epochs_done` epochs and `seen` of the `images` of the
        next.
        """
        self._waiting -= (
            fold != self._fold
        )  # one that goes back to its last state begins a second time
        self._fold, self._best, self._images = fold, None, images
        self._done = epochs_done * images + min(seen, images)
        self._since = time.perf_counter()
        self._counted = 0
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(
            "",
            total=self.epochs * images,
            completed=self._done,
            fold=f"{fold + 1}/{self.of}",
            epoch="",
            numbers="",
        )
        if self._done:
            inside = f" and {seen:,} images" if seen else ""
            self.display.line(
                f"fold {fold + 1}/{self.of}: goes on after epoch {epochs_done}{inside}"
            )

    def step(self, images: int) -> None:
        """A step over `images` is done."""
        self._done += images
        self._counted += images
        self._speed = self._counted / (time.perf_counter() - self._since)
        if self.display.listener:
            self.display.listener.progress(self._fold, self._done / (self.epochs * self._images))
        left = self.epochs * self._images - self._done
        run_left = left + self._waiting * self.epochs * self._images
        best = "" if self._best is None else f"  best {self._best:.3f}"
        self._bar.update(
            self._task,
            completed=self._done,
            epoch=f"{min(self.epochs, self._done // self._images + 1)}/{self.epochs}",
            numbers=f"{self._speed:.1f}/s  {clock(left / self._speed)} run "
            f"{clock(run_left / self._speed)}{best}",
        )

    def end_epoch(
        self, epoch: int, loss: float, accuracy: float | None, best: float, speed: float
    ) -> None:
        """An epoch is done and scored."""
        self._best = best if accuracy is not None else self._best
        self._since, self._counted = time.perf_counter(), 0  # scoring is not part of the speed
        score = "" if accuracy is None else f"  accuracy {accuracy:.4f}"
        if accuracy is not None and best > accuracy:
            score += f"  best {best:.4f}"
        left = self.epochs * self._images - self._done + self._waiting * self.epochs * self._images
        self.display.line(
            f"fold {self._fold + 1}/{self.of}  epoch {epoch}/{self.epochs}  loss {loss:.4f}{score}"
            f"  {speed:.0f}/s  {clock(left / speed)} left"
        )


def on_screen(table: Table) -> str:
    """A table as text, 80 columns wide at most."""
    console = Console(width=80)
    with console.capture() as captured:
        console.print(table)
    return captured.get().rstrip()


def clock(seconds: float) -> str:
    """Seconds as 0:07, 12:30 or 3:02:11."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
