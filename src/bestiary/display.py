"""Progress of long work on the user's screen: live bars where it has any, plain lines elsewhere.

Everything goes to standard error, so that results on standard output can be piped; in a notebook,
to standard output, since notebooks show the other as errors. Work on another machine sends its
progress to a `ProgressSink` instead. Names are shown as they are: no markup, no control characters.
Knows nothing of what the work is.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol, Self

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn

from bestiary.details import stage
from bestiary.notebook_progress import LiveProgress, in_notebook
from bestiary.numbers import counted, percent
from bestiary.printable import printable_name
from bestiary.ranks import is_first_rank
from bestiary.streams import ConsoleStream, StreamName, fitted

Tick = Callable[[int, int], None]
"""Reports progress: (done, total)."""


class ProgressSink(Protocol):
    """Receives progress from remote workers, which have no screen of their own."""

    def line(self, text: str) -> None:
        """Take a line about the work."""

    def notice(self, text: str) -> None:
        """Take a line that the user must see even when quiet."""

    def progress(self, fold: int, done: float) -> None:
        """Take the share of a fold that is done, 0 to 1."""


class Display:
    """Lines and bars of one command.

    Args:
        quiet: show notices only.
        visible: whether this process shows anything, notices included; None: if it is the first
            of those that a launcher has started.
        sink: receives everything instead of this screen.
    """

    def __init__(
        self,
        quiet: bool = False,
        *,
        visible: bool | None = None,
        sink: ProgressSink | None = None,
    ) -> None:
        visible = is_first_rank() if visible is None else visible
        on_screen = visible and sink is None
        self.is_notebook = on_screen and in_notebook()
        if self.is_notebook:  # it wraps lines itself, and yellow cannot be read on white
            self.console = make_console("stdout", soft_wrap=True, color_system=None)
        else:
            self.console = make_console(
                "stderr",
                soft_wrap=not ConsoleStream("stderr").isatty(),
                quiet=not on_screen,
            )
        self.quiet = quiet or not visible
        self.sink = sink

    @property
    def has_bars(self) -> bool:
        """Whether progress is shown as live bars."""
        return (self.console.is_terminal or self.is_notebook) and not self.quiet

    def line(self, text: str) -> None:
        """Show a line about the work, unless quiet."""
        if self.quiet:
            return
        if self.sink:
            self.sink.line(text)
        self._print(text)

    def result(self, result: object) -> None:
        """Show what a command would print, unless quiet; it may have several lines."""
        for line in str(result).split("\n"):
            self.line(line)

    def notice(self, text: str) -> None:
        """Show a line that the user must see even when quiet."""
        if self.sink:
            self.sink.notice(text)
        self._print(text, style="yellow")

    def _print(self, text: str, **options: Any) -> None:
        """Print a line, wrapped as results are: rich would break long words such as paths."""
        text = printable_name(text)
        if not self.is_notebook:  # its text has no width
            text = fitted(text, self.console.file)
        self.console.print(text, soft_wrap=True, **options)

    @contextmanager
    def counter(self, text: str) -> Iterator[Tick]:
        """Show a bar while something is counted, then one line with the count and the speed.

        Args:
            text: what is done, such as ``"Decoding images"``.

        Yields:
            The function that reports progress.
        """
        started = time.perf_counter()
        last_done = 0
        bar = LiveProgress(
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=None),
            MofNCompleteColumn(),
            TextColumn("{task.fields[speed]}"),
            TimeRemainingColumn(compact=True),
            console=self.console,
            transient=True,
            disable=not self.has_bars,
        )
        task = bar.add_task(printable_name(text), total=None, speed="")

        def tick(done: int, total: int) -> None:
            nonlocal last_done
            last_done = done
            speed = done / (time.perf_counter() - started)
            bar.update(task, completed=done, total=total, speed=f"{speed:,.0f}/s")

        with stage(text, said=False), bar:
            yield tick
        if last_done:
            seconds = time.perf_counter() - started
            speed = last_done / seconds
            self.line(f"{text}: {last_done:,} in {seconds:.1f} s ({speed:,.0f}/s)")


class TrainingDisplay:
    """Progress of a run in training.

    Shows fold, epoch, images a second, the time left for the fold and the run, and the best
    accuracy so far.

    Args:
        display: where to show it.
        folds: folds to train.
        total_folds: number of folds in the run.
        epochs: epochs of each fold.
    """

    def __init__(self, display: Display, folds: list[int], total_folds: int, epochs: int) -> None:
        self.display = display
        self.total_folds = total_folds
        self.epochs = epochs
        self._folds_waiting = len(folds)
        self._fold = -1
        self._best: float | None = None
        self._images = 0  # of an epoch
        self._done = 0  # images of this fold, over all its epochs
        self._speed = 0.0  # images a second
        self._bar = LiveProgress(
            TextColumn("fold {task.fields[fold]}  epoch {task.fields[epoch]}"),
            BarColumn(bar_width=None),
            TextColumn("{task.fields[numbers]}"),
            console=display.console,
            transient=True,
            disable=not display.has_bars,
        )

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.stop()

    def start_fold(self, fold: int, epochs_done: int, images: int, images_done: int = 0) -> None:
        """Begin or resume a fold.

        Args:
            fold: number of the fold.
            epochs_done: complete epochs.
            images: images of an epoch.
            images_done: images of the unfinished epoch that are done.
        """
        # A fold that returns to its last state starts a second time, but waited once.
        self._folds_waiting -= fold != self._fold
        self._fold = fold
        self._best = None
        self._images = images
        self._done = epochs_done * images + min(images_done, images)
        self._restart_clock()
        for task in self._bar.task_ids:
            self._bar.remove_task(task)
        self._task = self._bar.add_task(
            "",
            total=self.epochs * images,
            completed=self._done,
            fold=self._name(fold),
            epoch="",
            numbers="",
        )
        if self._done:
            partial = f" and {counted(images_done, 'image')}" if images_done else ""
            self.display.line(
                f"fold {self._name(fold)}: resumed after epoch {epochs_done}{partial}"
            )

    def step(self, images: int) -> None:
        """Count a step over `images`."""
        self._done += images
        self._counted += images
        self._speed = self._counted / (time.perf_counter() - self._since)
        total = self.epochs * self._images
        if self.display.sink:
            self.display.sink.progress(self._fold, self._done / total)
        epoch = min(self.epochs, self._done // self._images + 1)
        fold_left = format_duration(self._fold_left() / self._speed)
        run_left = format_duration(self._run_left() / self._speed)
        best = "" if self._best is None else f"  best {percent(self._best)}"
        self._bar.update(
            self._task,
            completed=self._done,
            epoch=f"{epoch}/{self.epochs}",
            numbers=f"{self._speed:.1f}/s  fold {fold_left}, all {run_left} left{best}",
        )

    def start_scoring(self) -> None:
        """Say that the epoch's steps are done, and its member is being scored."""
        self._bar.update(self._task, numbers="scoring the images of this fold")

    def end_epoch(
        self, epoch: int, loss: float, accuracy: float | None, best: float, speed: float
    ) -> None:
        """Report an epoch.

        Args:
            epoch: its number, from 1.
            loss: mean training loss.
            accuracy: on the held-out part, 0 to 1; None where it is not scored.
            best: best accuracy of the fold so far.
            speed: images a second.
        """
        if accuracy is not None:
            self._best = best
        self._restart_clock()  # scoring is not part of the speed
        score = "" if accuracy is None else f"  accuracy {percent(accuracy)}"
        if accuracy is not None and best > accuracy:
            score += f"  best {percent(best)}"
        left = format_duration(self._run_left() / speed)
        self.display.line(
            f"fold {self._name(self._fold)}  epoch {epoch}/{self.epochs}  "
            f"loss {loss:.4f}{score}  {speed:.0f}/s  {left} left"
        )

    def _name(self, fold: int) -> str:
        """Name a fold by its number, which starts at 0, and by how many there are."""
        return f"{fold} ({fold + 1}/{self.total_folds})"

    def _restart_clock(self) -> None:
        self._since = time.perf_counter()
        self._counted = 0

    def _fold_left(self) -> int:
        """Count the images that this fold has still to see."""
        return self.epochs * self._images - self._done

    def _run_left(self) -> int:
        """Count the images that all folds have still to see."""
        return self._fold_left() + self._folds_waiting * self.epochs * self._images


def make_console(name: StreamName, **options: Any) -> Console:
    """Make a console that shows names as they are: no markup, no emoji codes, no highlights.

    Args:
        name: the stream that it writes to.
        options: of rich's `Console`.
    """
    stream: Any = ConsoleStream(name)
    return Console(
        file=stream,
        markup=False,
        emoji=False,
        highlight=False,
        force_jupyter=False,  # there, rich would make an output of its own of each line
        **options,
    )


def format_duration(seconds: float) -> str:
    """Format seconds as a clock would show them.

    Example:
        >>> format_duration(7), format_duration(750), format_duration(10931)
        ('0:07', '12:30', '3:02:11')
    """
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
