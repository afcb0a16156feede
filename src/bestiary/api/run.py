"""The class `Run`: what `train` and `probe` return, with frames, charts and a card.

Adds to the run directory of `bestiary.run` what needs rooms above it. Reads the run when asked, and
changes nothing.
"""

import html
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from bestiary.api.arguments import Location
from bestiary.argument_types import checked_arguments
from bestiary.errors import RunError
from bestiary.printable import shell_name
from bestiary.run import run as directory
from bestiary.run.layout import METRICS

if TYPE_CHECKING:
    import polars as pl

    from bestiary.advising.dry_run import Plan
    from bestiary.evaluation.results import Results
    from bestiary.reporting.figure import Plots


class Run(directory.Run):
    """A run: its folder, and what it has found as frames and charts.

    What `bestiary.train` and `bestiary.probe` return; `Run.open` opens one that exists. In a
    notebook it shows its accuracy with interval and its surest mistakes. Frames are polars frames;
    `.to_pandas()` makes them pandas frames, after ``pip install 'bestiary[pandas]'``.

    Example:
        >>> import bestiary
        >>> run = bestiary.Run.open("run")
        >>> run.fold_numbers()
        [0, 1, 2]
        >>> run.scores.columns
        ['score', 'fold', 'value', 'low', 'high', 'n', 'groups']
        >>> run.oof.height, run.confusion["images"].sum(), run.history.height
        (36, 36, 3)
        >>> figure = run.plot.confusion()
    """

    __slots__ = ()

    @checked_arguments
    def __init__(self, path: Location, address: str = "", data: str = "") -> None:
        super().__init__(Path(path), address, data)

    @classmethod
    @checked_arguments
    def open(cls, path: Location, address: str = "", data: str = "") -> Self:
        """Open an existing run, see `bestiary.run.run.Run.open`.

        Raises:
            ArgumentError: the path is none.
            RunError: there is no run that may be read.
        """
        return super().open(path, address, data)

    @classmethod
    def of(cls, run: directory.Run) -> Self:
        """Return a run directory as a run with frames and charts."""
        return cls(run.path, run.address, run.data)

    @property
    def history(self) -> "pl.DataFrame":
        """One row for each epoch of each fold so far; see `evaluation.frames.history_frame`."""
        from bestiary.evaluation.frames import history_frame

        return history_frame(self)

    @property
    def oof(self) -> "pl.DataFrame":
        """One row for each scored image, out of fold; see `evaluation.frames.oof_frame`."""
        from bestiary.evaluation.frames import oof_frame

        return oof_frame(self.results())

    @property
    def scores(self) -> "pl.DataFrame":
        """One row for each score with its interval; see `evaluation.frames.scores_frame`."""
        from bestiary.evaluation.frames import scores_frame

        scores = self.read_scores()
        if scores is None:
            self.load().check_ended()
            raise RunError(
                f"{self.place}: has no {METRICS}; write it with bestiary train DATA "
                f"{shell_name(self.place)} --resume"
            )
        return scores_frame(scores)

    @property
    def confusion(self) -> "pl.DataFrame":
        """One row for each pair of classes; see `evaluation.frames.confusion_frame`."""
        from bestiary.evaluation.frames import confusion_frame

        return confusion_frame(self.results())

    @property
    def plot(self) -> "Plots":
        """The charts: `run.plot.confusion()` and others, see `reporting.figure.Plots`."""
        from bestiary.reporting.figure import Plots

        return Plots(self, self.results)

    def results(self) -> "Results":
        """Read the out-of-fold results, once as long as the run does not change.

        Raises:
            RunError: not all folds have ended, or a file is damaged.
        """
        try:
            status = self.file(METRICS).stat()
            stamp = (status.st_mtime_ns, status.st_size)
        except OSError:
            stamp = (0, 0)
        return _results(self, stamp)

    def document(self) -> dict[str, Any]:
        """Return what programs read of a run, see docs/reference/programs.md."""
        from bestiary.evaluation.summary import summarize

        return summarize(self).document()

    def _repr_html_(self) -> str:
        """Show the run in a notebook: see `bestiary.reporting.notebook_card`."""
        from bestiary.reporting.notebook_card import run_card

        return run_card(self)


@dataclass(frozen=True, slots=True)
class PlannedRun(Run):
    """A run that has not begun: what ``train(..., dry_run=True)`` returns.

    Attributes:
        plan: what would be trained, and how long it would take.
    """

    plan: "Plan | None" = None

    def __str__(self) -> str:
        """Say what would be trained, and how long it would take."""
        return str(self.plan)

    def _repr_html_(self) -> str:
        """Show the plan in a notebook."""
        return f"<pre>{html.escape(str(self))}</pre>"

    def document(self) -> dict[str, Any]:
        """Return what programs read of a plan, see docs/reference/programs.md."""
        return {"run": self.place, "plan": self.plan}


@lru_cache(maxsize=2)
def _results(run: Run, stamp: tuple[int, int]) -> "Results":
    """Read the results of a run whose metrics.json has this time of change and size."""
    from bestiary.evaluation.results import read_results

    return read_results(run)
