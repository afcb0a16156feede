"""A time budget -> the way to train that pays on these images, tried out, and a run begun with it.

First the heads of all folds on frozen features. Then, on one fold: whether fine-tuning pays, how
near to the initial weights the members should stay, and whether larger images pay. What was tried
and chosen is written to budget.json. Does not know how a fold is trained.
"""

import time

from bestiary.advising.budget_folds import begin_with
from bestiary.advising.budget_plan import (
    CHOOSING_FOLD,
    MIN_EPOCHS,
    SHARES,
    Costs,
    Trial,
    choose,
    larger_size,
)
from bestiary.advising.budget_work import HEADS, TUNED, Budgeted
from bestiary.advising.trials import seconds_of_folds, seconds_of_view, trial_logits, with_share
from bestiary.display import format_duration
from bestiary.evaluation.finish import finish_run
from bestiary.model.device import best_device
from bestiary.model.image_sizes import input_size_errors
from bestiary.numbers import counted
from bestiary.recipe.options import Recipe
from bestiary.run.budget_file import read_progress
from bestiary.run.run import Run
from bestiary.training.autotune import candidates
from bestiary.training.crossval import train_folds
from bestiary.training.step_timing import time_training_step

HEADS_ONLY = ("train.epochs=0", "train.wise_ft=0", "train.keep_best=false")


def settle_budget(work: Budgeted) -> None:
    """Try what the budget allows, choose, and begin the run with the members of the choice.

    Args:
        work: the run, the budget and the recipe.

    Raises:
        RunError: another process works on a trial, or its folder cannot be written.
        DataError: the images cannot be used.
        Interrupted: by Ctrl-C or SIGTERM; the same command goes on.
    """
    work.spent_before = read_progress(work.run)
    work.begin_heads(work.trial(HEADS, work.recipe.view.size).path, HEADS_ONLY)
    work.recipe = _like_first(work)
    _try_heads(work, work.recipe)
    if work.spent > work.seconds:
        work.note(
            f"The heads alone took {format_duration(work.spent)} of {format_duration(work.seconds)}"
        )
    tuned = _try_fine_tuning(work, work.recipe)
    _try_larger(work, tuned)
    chosen = choose(work.trials)
    work.display.line(f"Chosen after {format_duration(work.spent)}: {chosen.name}")
    if len(work.trials) > 1:
        work.display.notice(
            f"Fold {CHOOSING_FOLD}, on which the choice was made, is not part of the score"
        )
    begin_with(work, chosen)


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
    trained = time.monotonic()
    finish_run(run)
    work.finish_seconds = time.monotonic() - trained
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
        folds = len(heads.fold_numbers())
        # A share of the initial weights predicts again: in its trial, and then in each fold.
        after = costs.fixed * (len(SHARES) - 1 + folds) + work.finish_seconds
        epochs = costs.epochs_within(work.left - after, folds)
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
