"""A time budget -> the way to train that pays on these images, tried out, and a run begun with it.

First the heads of all folds on frozen features. Then, on one fold: whether fine-tuning pays, how
near to the initial weights the members should stay, and whether larger images pay. Each trial is a
run of its own in the folder trials/, so that whatever stops the work, the same command goes on.
What was tried and chosen is written to budget.json. Does not know how a fold is trained.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from bestiary.advising.budget_plan import (
    CHOOSING_FOLD,
    MIN_EPOCHS,
    SHARES,
    TOLERANCE,
    USABLE,
    Costs,
    Trial,
    choose,
    larger_size,
)
from bestiary.advising.trials import (
    adopt_fold,
    seconds_of_folds,
    seconds_of_view,
    trial_logits,
    with_share,
)
from bestiary.display import Display, format_duration
from bestiary.evaluation.finish import finish_run
from bestiary.model.device import best_device
from bestiary.model.image_sizes import input_size_errors
from bestiary.numbers import counted, percent
from bestiary.recipe.options import Recipe
from bestiary.run.budget_file import BudgetRecord, read_progress
from bestiary.run.layout import BUDGET, TRIALS
from bestiary.run.run import Run
from bestiary.training.autotune import candidates
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.crossval import train_folds
from bestiary.training.step_timing import time_training_step

HEADS = "heads"
TUNED = "fine-tuned"
HEADS_ONLY = ("train.epochs=0", "train.wise_ft=0", "train.keep_best=false")
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
            way: `HEADS` or `TUNED`.
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

    def write_record(self, chosen: str) -> None:
        """Write budget.json; the choice is empty until it is made."""
        # A single way was not chosen by any image, so all images can be scored.
        folds = [CHOOSING_FOLD] if len(self.trials) > 1 else []
        record = BudgetRecord(
            seconds=self.seconds,
            spent=self.spent,
            folds=folds,
            trials=[trial.record() for trial in self.trials],
            chosen=chosen,
            notes=self.notes,
        )
        self.run.write_json(BUDGET, record.model_dump())


def settle_budget(work: Budgeted) -> None:
    """Try what the budget allows, choose, and begin the run with the choice.

    Folds that a trial has trained in the chosen way become folds of the run.

    Args:
        work: the run, the budget and the recipe.

    Raises:
        RunError: another process works on a trial, or its folder cannot be written.
        DataError: the images cannot be used.
        Interrupted: by Ctrl-C or SIGTERM; the same command goes on.
    """
    work.spent_before = read_progress(work.run)
    heads = work.trial(HEADS, work.recipe.view.size)
    work.begin_heads(heads.path, HEADS_ONLY)
    work.recipe = _like_first(work)
    heads = _try_heads(work, work.recipe)
    tuned = _try_fine_tuning(work, work.recipe)
    _try_larger(work, tuned)
    chosen, recipe = _what_fits(work, choose(work.trials))
    work.write_record(chosen.name)
    work.display.line(f"Chosen after {format_duration(work.spent)}: {chosen.name}")
    if len(work.trials) > 1:
        work.display.notice(
            f"Fold {CHOOSING_FOLD}, on which the choice was made, is not part of the score"
        )
    work.run.begin_like(heads, recipe)
    _adopt(work, chosen, recipe)


def _like_first(work: Budgeted) -> Recipe:
    """The recipe with what the first trial has found: the folds, and the value of white."""
    found = work.trial(HEADS, work.recipe.view.size).read_recipe()
    train = work.recipe.train
    return found.with_values({"train.epochs": train.epochs, "train.wise_ft": train.wise_ft})


def _heads_recipe(recipe: Recipe) -> Recipe:
    """The recipe without fine-tuning."""
    return recipe.with_values({"train.epochs": 0, "train.wise_ft": 0.0})


def _try_heads(work: Budgeted, recipe: Recipe) -> Run:
    """Train the heads of all folds on frozen features."""
    started = time.monotonic()
    run = work.begin(HEADS, _heads_recipe(recipe))
    train_folds(run, run.fold_numbers(), work.checkpointer, work.display)
    finish_run(run)
    logits, labels = trial_logits(run, CHOOSING_FOLD)
    name = f"heads on the frozen network, {recipe.view.size} pixels"
    elapsed = time.monotonic() - started
    work.add(Trial(name, _heads_recipe(recipe), logits, labels, elapsed))
    return run


def _try_fine_tuning(work: Budgeted, recipe: Recipe) -> Run | None:
    """Fine-tune the choosing fold for as many epochs as all folds have time for."""
    heads = work.trial(HEADS, recipe.view.size)
    tuned = work.trial(TUNED, recipe.view.size)
    if tuned.exists:
        epochs = tuned.read_recipe().train.epochs
    else:
        costs = _expected_costs(work, heads, recipe)
        epochs = costs.epochs_within(work.left, len(heads.fold_numbers()))
    if epochs < MIN_EPOCHS:
        work.note(
            f"Fine-tuning at {recipe.view.size} pixels was not tried: "
            f"{counted(epochs, 'epoch fits', 'epochs fit')}, and fewer than {MIN_EPOCHS} are of no "
            "use"
        )
        return None

    # The trial keeps the trained weights; the share of the initial ones is chosen after.
    started = time.monotonic()
    plain = recipe.with_values({"train.epochs": epochs, "train.wise_ft": 0.0})
    run = work.begin(TUNED, plain)
    train_folds(run, [CHOOSING_FOLD], work.checkpointer, work.display)
    elapsed = time.monotonic() - started
    for share in SHARES:
        started = time.monotonic()
        logits, labels = with_share(run, heads, CHOOSING_FOLD, share)
        elapsed += time.monotonic() - started
        name = f"{counted(epochs, 'epoch')} of fine-tuning, {recipe.view.size} pixels"
        if share:
            name += f", {share:g} of the initial weights"
        values = {"train.wise_ft": share}
        work.add(Trial(name, plain.with_values(values), logits, labels, elapsed))
        elapsed = 0.0
    return run


def _expected_costs(work: Budgeted, heads: Run, recipe: Recipe) -> Costs:
    """Expect what a fold costs, from a few timed steps and from what the heads took."""
    device = best_device()
    images = heads.load().manifest.height
    folds = len(heads.fold_numbers())
    config = candidates(recipe, device)[0]
    tuning = recipe.with_values({"train.epochs": MIN_EPOCHS})  # a recipe of heads has none
    timing = time_training_step(tuning, len(heads.read_classes()), config, device)
    assert timing, "only compilation can fail, and this candidate is not compiled"
    trained = images * (folds - 1) / folds
    view = seconds_of_view(heads, recipe)
    # On a CPU, views are made by the cores that compute.
    each = timing.seconds + view if device.type == "cpu" else max(timing.seconds, view)
    predicted = work.trials[-1].seconds / folds
    return Costs(epoch=trained * each, fixed=predicted)


def _try_larger(work: Budgeted, tuned: Run | None) -> None:
    """Try larger images, in the way that has paid so far, if the time suffices."""
    size = larger_size(work.recipe.view.size)
    way = TUNED if tuned else HEADS
    smaller = work.trial(way, work.recipe.view.size)
    pays = choose(work.trials).recipe.train.epochs > 0
    recipe = work.recipe.with_values({"view.size": size, "view.eval_size": 0})
    if any(input_size_errors(recipe.model.backbone, [size, recipe.view.eval_side])):
        work.note(f"{size} pixels were not tried: the network takes no images of that size")
        return
    if tuned and not pays:
        work.note(f"{size} pixels were not tried: fine-tuning did not pay")
        return
    # The heads, and either all folds fine-tuned or nothing else.
    growth = (size / work.recipe.view.size) ** 2
    folds = len(smaller.fold_numbers()) if tuned else 0
    seconds = growth * (work.trials[0].seconds + folds * seconds_of_folds(smaller))
    if seconds > work.left and not work.trial(way, size).exists:
        work.note(f"{size} pixels were not tried: they would take {format_duration(seconds)}")
        return
    _try_heads(work, recipe)
    if tuned:
        _try_fine_tuning(work, recipe)


def _what_fits(work: Budgeted, chosen: Trial) -> tuple[Trial, Recipe]:
    """Cut the epochs of the choice where the other folds would take far longer than planned.

    Returns:
        The choice, or the heads where nothing else fits; and the recipe of the run.
    """
    epochs = chosen.recipe.train.epochs
    if not epochs:
        return chosen, chosen.recipe
    trial = work.trial(TUNED, chosen.recipe.view.size)
    folds = len(trial.fold_numbers())
    fold_seconds = seconds_of_folds(trial)
    left = TOLERANCE * work.seconds - work.spent
    if (folds - 1) * fold_seconds <= left:
        return chosen, chosen.recipe
    fitting = int(epochs * left / (folds * fold_seconds))
    if fitting < MIN_EPOCHS:
        work.note(
            f"No time is left for {counted(folds, 'fold')} of {counted(epochs, 'epoch')}, so the "
            "heads remain"
        )
        return work.trials[0], work.trials[0].recipe
    work.note(
        f"{counted(fitting, 'epoch')} in place of {epochs}: the trial took longer than expected"
    )
    return chosen, chosen.recipe.with_values({"train.epochs": fitting})


def _adopt(work: Budgeted, chosen: Trial, recipe: Recipe) -> None:
    """Take folds that are trained in the chosen way into the run."""
    heads = work.trial(HEADS, recipe.view.size)
    if not recipe.train.epochs:
        for fold in heads.fold_numbers():
            adopt_fold(heads, work.run, fold)
    elif recipe == chosen.recipe:
        tuned = work.trial(TUNED, recipe.view.size)
        adopt_fold(tuned, work.run, CHOOSING_FOLD, heads, recipe.train.wise_ft)
