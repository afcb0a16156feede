"""A trial of a way to train -> the logits it is judged by, and its folds as those of another run.

A trial that fine-tunes keeps the trained weights, and its initial weights are those of the heads'
run. So every share of the initial weights (WiSE-FT) can be judged after one training. Does not know
budgets.
"""

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray

from bestiary.atomic import write_bytes
from bestiary.data.loader import Rows, split_batches
from bestiary.display import Display
from bestiary.model.classifier import Classifier, load_member, save_member
from bestiary.model.compute import memory_format
from bestiary.model.device import best_device
from bestiary.recipe.options import Recipe
from bestiary.run.costs import read_costs
from bestiary.run.oof import FIRST_VIEW, LOGITS, read_oof, write_oof
from bestiary.run.run import Run
from bestiary.training.autotune import autotune_compute
from bestiary.training.dataset import TrainingSet, read_training_set
from bestiary.training.prediction import predict_rows
from bestiary.training.weight_averaging import wise_ft

TIMED_VIEWS = 96
Logits = NDArray[np.float32]  # (images, classes)
Labels = NDArray[np.int64]  # (images,)


def seconds_of_folds(run: Run, folds: Sequence[int] = ()) -> float:
    """Sum the seconds that folds took, over all sessions.

    Args:
        run: the run.
        folds: numbers of the folds; empty: all.
    """
    files = [run.fold(fold) for fold in folds or run.fold_numbers()]
    return float(read_costs(files)["seconds"].sum())


def seconds_of_view(run: Run, recipe: Recipe) -> float:
    """Time how long the training view of an image takes, from the image's file.

    Args:
        run: whose images are read.
        recipe: whose views are made.

    Returns:
        Seconds an image, with all threads of the loader.

    Raises:
        DataError: an image has vanished.
    """
    data = replace(read_training_set(run), recipe=recipe)
    rows = np.arange(len(data.paths))[:: max(1, len(data.paths) // TIMED_VIEWS)][:TIMED_VIEWS]
    batches = split_batches(rows, recipe.train.batch_size)
    started = time.perf_counter()
    for _ in data.training_batches(batches, 0, 0, torch.device("cpu")):
        pass
    return (time.perf_counter() - started) / len(rows)


def trial_logits(run: Run, fold: int) -> tuple[Logits, Labels]:
    """Read the logits of a fold's scorable held-out images, in the order of the manifest.

    Args:
        run: a trial whose fold has ended.
        fold: number of the fold.

    Returns:
        Logits and labels.

    Raises:
        DamagedError: the logits are damaged.
    """
    data = read_training_set(run)
    rows = data.scorable(data.rows(fold)[1])
    table, _ = read_oof(run.fold(fold))
    wanted = pl.DataFrame({"path": data.paths[rows]})
    joined = wanted.join(table, on="path", how="left", maintain_order="left")
    return joined["logits"].to_numpy(), data.labels[rows]


def with_share(run: Run, heads: Run, fold: int, share: float) -> tuple[Logits, Labels]:
    """Compute the logits of a fold with a share of the initial weights.

    Args:
        run: a trial whose fold has ended, with the trained weights.
        heads: run of the heads that it started from.
        fold: number of the fold.
        share: of the initial weights, 0 to 1.

    Returns:
        Logits and labels, as `trial_logits` returns them.

    Raises:
        RunError: weights or logits are missing or damaged.
        DataError: an image has vanished.
    """
    if not share:
        return trial_logits(run, fold)
    data = read_training_set(run)
    rows = data.scorable(data.rows(fold)[1])
    member = _interpolated(run, heads, fold, share)
    return _predict(run, data, member, rows), data.labels[rows]


def _predict(
    trial: Run, data: TrainingSet, member: Classifier, rows: Rows, *, keeps_first: bool = False
) -> Logits:
    """Predict some images in the way of a trial; `keeps_first` as in `predict_rows`."""
    device = best_device()
    member.to(device)
    member.to(memory_format=memory_format(True))
    compute = autotune_compute(trial, 0, len(data.classes), Display(quiet=True))
    return predict_rows(data, member, rows, device, compute.precision, keeps_first=keeps_first)


def _interpolated(run: Run, heads: Run, fold: int, share: float) -> Classifier:
    start, trained = (load_member(one.fold(fold).weights) for one in (heads, run))
    with torch.no_grad():
        return wise_ft(start, trained, share)


def adopt_fold(
    trial: Run,
    run: Run,
    fold: int,
    heads: Run | None = None,
    share: float = 0.0,
) -> None:
    """Copy a trained fold of a trial into a run with the same images and folds.

    The out-of-fold logits come last: with them, the fold has ended.

    Args:
        trial: whose fold has ended.
        run: that has begun, and whose fold has not.
        fold: number of the fold.
        heads: run of the heads that the trial started from, where `share` is above 0.
        share: of the initial weights in the member.

    Raises:
        RunError: weights or logits are missing or damaged.
        BestiaryError: the run's folder cannot be written.
    """
    source = trial.fold(fold)
    goal = run.fold(fold)
    for file, copy in ((source.history, goal.history), (source.costs, goal.costs)):
        if file.exists():
            write_bytes(copy, file.read_bytes())
    table, classes = read_oof(source)
    if heads is None or not share:
        write_bytes(goal.weights, source.weights.read_bytes())
    else:
        write_bytes(goal.initial, heads.fold(fold).weights.read_bytes())
        save_member(_interpolated(trial, heads, fold, share), goal.weights)
        table = _predicted_again(trial, run, fold, table)
    write_oof(goal, table, classes)


def _predicted_again(trial: Run, run: Run, fold: int, table: pl.DataFrame) -> pl.DataFrame:
    """Replace the logits of a fold's held-out part by those of the run's member."""
    data = read_training_set(trial)
    rows = data.rows(fold)[1]
    member = load_member(run.fold(fold).weights)
    names = [LOGITS, FIRST_VIEW] if data.recipe.predict.tta > 1 else [LOGITS]
    logits = _predict(trial, data, member, rows, keeps_first=len(names) > 1)
    of_views = np.moveaxis(logits.reshape(len(rows), len(names), -1), 1, 0)
    dtype = table.schema[LOGITS]
    columns = [
        pl.Series(name, np.ascontiguousarray(values), dtype)
        for name, values in zip(names, of_views, strict=True)
    ]
    new = pl.DataFrame({"path": data.paths[rows]}).with_columns(columns)
    return table.select("path", "label").join(new, on="path", maintain_order="left")
