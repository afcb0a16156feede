"""A data folder and a recipe -> a run: its manifest and folds first, then every fold in turn.

What is decided is written before anything is trained, and read back by everything after, so folds
can be trained by different processes. Knows nothing of ensembles and scores.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bestiary.display import Display, TrainingDisplay
from bestiary.errors import DamagedError
from bestiary.model.classifier import check_member
from bestiary.model.compute import ComputeConfig
from bestiary.run.layout import FoldFiles
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.training.autotune import autotune_compute
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.cost import measured
from bestiary.training.dataset import (
    TrainingSet,
    check_present,
    open_store,
    read_training_set,
)
from bestiary.training.distributed import World
from bestiary.training.fold import train_fold_safely
from bestiary.training.frozen_features import frozen_features


def train_folds(run: Run, numbers: list[int], checkpointer: Checkpointer, display: Display) -> None:
    """Train those of the folds `numbers` that have not ended yet; `checkpointer` keeps their
    states.

    Raises:
        RunError: another process trains one of them.
        DataError: an image has vanished.
        WeightsError: the backbone or its weights are not to be had.
    """
    world = checkpointer.world
    with world.synchronized() as main:
        data = read_training_set(run)
        recipe = data.recipe
        left = (
            [number for number in numbers if not ended_whole(run.fold(number), display)]
            if main
            else []
        )
    waiting = world.broadcast_object(left)
    if not waiting:
        return
    data = replace(data, world=world)
    with world.synchronized():
        if not world.local_rank:  # the others look at the same disk
            check_present(data)
    store = open_store(data, display) if recipe.data.store and recipe.train.epochs else None
    data = replace(data, store=store)
    features = _features_once(data, display)
    try:
        arithmetic = _settle(run, data, display)
        with TrainingDisplay(
            display, waiting, len(run.fold_numbers()), recipe.train.epochs
        ) as live:
            for number in waiting:
                with _working(run.fold(number), world):
                    train_fold_safely(
                        data, number, run.fold(number), features, arithmetic, checkpointer, live
                    )
    finally:
        if store:
            store.close()


def settle_run(run: Run, display: Display) -> None:
    """Settle the run's arithmetic, before its folds are trained side by side; raises as
    `autotune_compute` does.
    """
    _settle(run, read_training_set(run), display)


def _settle(run: Run, data: TrainingSet, display: Display) -> ComputeConfig:
    views = data.recipe.train.epochs * sum(len(data.rows(fold)[0]) for fold in run.fold_numbers())
    return autotune_compute(run, views, len(data.classes), display, data.world)


@contextmanager
def _working(files: FoldFiles, world: World) -> Iterator[None]:
    """A fold's training: the main process locks the fold and notes the costs."""
    with ExitStack() as held:
        with world.synchronized() as main:
            if main:
                held.enter_context(files.lock())
                held.enter_context(measured(files))
        yield


def ended_whole(files: FoldFiles, display: Display) -> bool:
    """Whether a fold has ended and what it left is as it was written; what is damaged is made
    again.
    """
    if not files.ended:
        return False
    try:
        check_member(files.weights)
        read_oof(files)
    except DamagedError as error:
        display.notice(f"{error}; what is missing is made again")
        files.oof.unlink()
        return False
    return True


def _features_once(data: TrainingSet, display: Display) -> Callable[[], NDArray[np.float32]]:
    """Frozen features of every image, read or computed when first asked for and shared by the
    folds.
    """
    kept: list[NDArray[np.float32]] = []

    def features() -> NDArray[np.float32]:
        if not kept:
            kept.append(frozen_features(data, display))
        return kept[0]

    return features
