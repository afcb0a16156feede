"""The way that a budget has chosen -> a run with the members of all its folds.

The choosing fold is trained already. The others follow in the run of the trial, one by one, as long
as they can end in time. Where they cannot, the run gets the heads, which every fold has. Only then
does the run begin, and takes the members over.
"""

from bestiary.advising.budget_plan import (
    CHOOSING_FOLD,
    MIN_EPOCHS,
    TOLERANCE,
    Trial,
    choose,
)
from bestiary.advising.budget_work import HEADS, SHORTER, TUNED, Budgeted
from bestiary.advising.trials import adopt_fold, seconds_of_folds
from bestiary.display import format_duration
from bestiary.numbers import counted
from bestiary.run.run import Run
from bestiary.training.crossval import train_folds


def begin_with(work: Budgeted, chosen: Trial) -> None:
    """Train the other folds in the chosen way, and begin the run with the members of all.

    Args:
        work: the run, the budget and the trials.
        chosen: one of the trials. Where its folds cannot end in time, the best heads replace it.

    Raises:
        RunError: another process works on a trial, or its folder cannot be written.
        DataError: an image has vanished.
        Interrupted: by Ctrl-C or SIGTERM; the same command goes on.
    """
    spent = work.spent
    tuned = fitting_run(work, chosen) if chosen.recipe.train.epochs else None
    if tuned is None or not _trains_in_time(work, tuned, chosen):
        _begin_with_heads(work)
        return
    work.write_record(chosen.name, spent)
    share = chosen.recipe.train.wise_ft
    heads = work.trial(HEADS, chosen.recipe.view.size)
    recipe = tuned.read_recipe().with_values({"train.wise_ft": share})
    work.run.begin_like(heads, recipe)
    for fold in tuned.fold_numbers():
        adopt_fold(tuned, work.run, fold, heads, share)


def _begin_with_heads(work: Budgeted) -> None:
    """Begin the run with the best heads that were tried."""
    best = choose([trial for trial in work.trials if not trial.recipe.train.epochs])
    heads = work.trial(HEADS, best.recipe.view.size)
    work.write_record(best.name)
    work.run.begin_like(heads, best.recipe)
    for fold in heads.fold_numbers():
        adopt_fold(heads, work.run, fold)


def fitting_run(work: Budgeted, chosen: Trial) -> Run | None:
    """Return the run that trains the folds, with fewer epochs where the trial took too long.

    Args:
        work: the run, the budget and the trials.
        chosen: a trial that fine-tunes.

    Returns:
        The run of the trial, or one with fewer epochs; None where too few are left for any use.
    """
    size = chosen.recipe.view.size
    epochs = chosen.recipe.train.epochs
    tuned = work.trial(TUNED, size)
    shorter = work.trial(SHORTER, size)
    folds = tuned.fold_numbers()
    rest = [fold for fold in folds if not tuned.fold(fold).ended]
    fold_seconds = seconds_of_folds(tuned, [CHOOSING_FOLD])
    left = _left(work, chosen, len(folds))
    is_under_way = len(rest) < len(folds) - 1
    if shorter.exists:
        fitting = shorter.read_recipe().train.epochs
    elif is_under_way or len(rest) * fold_seconds <= left:
        return tuned
    else:
        fitting = int(epochs * left / (len(folds) * fold_seconds))
    if fitting < MIN_EPOCHS:
        work.note(
            f"No time is left for {counted(len(folds), 'fold')} of {counted(epochs, 'epoch')}, so "
            "the heads remain"
        )
        return None
    work.note(
        f"{counted(fitting, 'epoch')} in place of {epochs}: the trial took longer than expected"
    )
    return work.begin(SHORTER, tuned.read_recipe().with_values({"train.epochs": fitting}))


def _left(work: Budgeted, chosen: Trial, folds: int) -> float:
    """Seconds left to train folds in: those that taking them over and scoring them takes are not.

    A member with a share of the initial weights predicts again; the trial of the share timed that.
    """
    again = chosen.seconds if chosen.recipe.train.wise_ft else 0.0
    return TOLERANCE * work.seconds - work.spent - folds * again - work.finish_seconds


def _trains_in_time(work: Budgeted, run: Run, chosen: Trial) -> bool:
    """Train the folds that are left, each of them only while all can end in time."""
    folds = run.fold_numbers()

    def goes_on() -> bool:
        work.write_record("")  # should this session be stopped, its time counts
        ended = [fold for fold in folds if run.fold(fold).ended]
        # The latest fold says most about the next. Without any, the plan holds.
        expected = seconds_of_folds(run, ended[-1:]) if ended else 0.0
        return (len(folds) - len(ended)) * expected <= _left(work, chosen, len(folds))

    train_folds(run, folds, work.checkpointer, work.display, goes_on)
    missing = [fold for fold in folds if not run.fold(fold).ended]
    if missing:
        work.note(
            f"{counted(len(missing), 'fold')} of {len(folds)} cannot end in time: after "
            f"{format_duration(work.spent)} of {format_duration(work.seconds)} the heads remain"
        )
    return not missing
