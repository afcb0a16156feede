"""A time budget that is being spent: its trials so far, their runs, and the time that is left.

Each trial is a run of its own in the folder trials/, so that whatever stops the work, the same
command goes on. Trains nothing.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bestiary.advising.budget_plan import CHOOSING_FOLD, USABLE, Trial
from bestiary.display import Display
from bestiary.numbers import counted, percent
from bestiary.recipe.options import Recipe
from bestiary.run.budget_file import BudgetRecord
from bestiary.run.layout import BUDGET, TRIALS
from bestiary.run.run import Run
from bestiary.training.checkpointer import Checkpointer

HEADS = "heads"
TUNED = "fine-tuned"
SHORTER = "fine-tuned-shorter"
BeginHeads = Callable[[Path, Sequence[str]], Run]
"""Folder and further options of the recipe -> the first trial, begun or opened to go on."""


@dataclass
class Budgeted:
    """A budget that is being spent.

    Attributes:
        run: that is to be begun with the choice.
        recipe: the recipe that fine-tunes, of which the trials are variants.
        seconds: the budget.
        begin_heads: reads the images and begins the first trial, or opens it to go on.
        checkpointer: saves the states of its folds.
        display: shows the progress.
        spent_before: seconds that earlier sessions spent.
        started: time of `time.monotonic` at which this session began.
        finish_seconds: that assembling and scoring a run took.
        trials: so far.
        notes: what was not tried, and why.
    """

    run: Run
    recipe: Recipe
    seconds: float
    begin_heads: BeginHeads
    checkpointer: Checkpointer
    display: Display
    spent_before: float = 0.0
    started: float = field(default_factory=time.monotonic)
    finish_seconds: float = 0.0
    trials: list[Trial] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def spent(self) -> float:
        """Seconds spent so far."""
        return self.spent_before + time.monotonic() - self.started

    @property
    def left(self) -> float:
        """Seconds left to plan with."""
        return USABLE * self.seconds - self.spent

    def trial(self, way: str, size: int) -> Run:
        """The run of a trial, begun or not.

        Args:
            way: `HEADS`, `TUNED` or `SHORTER`.
            size: side of a training view in pixels.
        """
        run = Run(self.run.path / TRIALS / f"{way}-{size}")
        first = Run(self.run.path / TRIALS / f"{HEADS}-{self.recipe.view.size}")
        return replace(run, data=first.read_recorded_root()) if first.exists else run

    def begin(self, way: str, recipe: Recipe) -> Run:
        """Begin a trial with the images and folds of the first one, or open it to go on."""
        run = self.trial(way, recipe.view.size)
        if run.exists:
            Run.open(run.path)  # checks it
        else:
            run.begin_like(self.trial(HEADS, self.recipe.view.size), recipe)
        return run

    def add(self, trial: Trial) -> None:
        """Add a trial, and show and record it."""
        self.trials.append(trial)
        record = trial.record()
        self.display.line(
            f"Tried {trial.name}: accuracy {percent(record.accuracy)}, log loss "
            f"{record.log_loss:.4f} on {counted(record.images, 'image')} of fold {CHOOSING_FOLD}"
        )
        self.write_record("")

    def note(self, text: str) -> None:
        """Add a note, and show it."""
        self.notes.append(text)
        self.display.line(text)

    def write_record(self, chosen: str, spent: float | None = None) -> None:
        """Write budget.json; the choice is empty until all folds have it.

        Args:
            chosen: name of the way.
            spent: seconds until the choice was made; None: until now.
        """
        # A single way was not chosen by any image, so all images can be scored.
        folds = [CHOOSING_FOLD] if len(self.trials) > 1 else []
        record = BudgetRecord(
            seconds=self.seconds,
            spent=self.spent if spent is None else spent,
            folds=folds,
            trials=[trial.record() for trial in self.trials],
            chosen=chosen,
            notes=self.notes,
        )
        self.run.write_json(BUDGET, record.model_dump())
