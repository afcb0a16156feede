"""Cross-validation: train the folds of a run, one after the other, on this machine.

The manifest, the folds and the compute configuration are on disk before a fold is trained, and are
read back from there. So different processes can train different folds. Does not know ensembles or
scores.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import cache

import torch
from accelerate.utils.memory import clear_device_cache

from bestiary.atomic import need_folder
from bestiary.caches import ensure_cache
from bestiary.details import stage
from bestiary.display import Display, TrainingDisplay
from bestiary.errors import DamagedError
from bestiary.model.classifier import check_member
from bestiary.model.compute import ComputeConfig, cudnn_options
from bestiary.model.device import best_device
from bestiary.run.layout import FoldFiles
from bestiary.run.oof import read_oof
from bestiary.run.run import Run
from bestiary.run.unlabeled import read_unlabeled
from bestiary.training.autotune import autotune_compute
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.cost import record_cost
from bestiary.training.dataset import (
    TrainingSet,
    check_images_exist,
    open_store,
    read_training_set,
)
from bestiary.training.determinism import deterministic_algorithms
from bestiary.training.distributed import World
from bestiary.training.fold import train_fold_safely
from bestiary.training.fold_job import FoldJob
from bestiary.training.frozen_features import FrozenFeatures, frozen_features, open_features


def train_folds(
    run: Run,
    folds: list[int],
    checkpointer: Checkpointer,
    display: Display,
    goes_on: Callable[[], bool] = lambda: True,
) -> None:
    """Train the folds that are not complete yet.

    Args:
        run: with its recipe, manifest and folds.
        folds: numbers of the folds to train.
        checkpointer: saves their states; it knows the ranks that train together.
        display: shows the progress.
        goes_on: is asked before each fold; once it says no, the folds that are left stay so. For
            one process: ranks that were told differently would wait for each other.

    Raises:
        RunError: another process trains one of them.
        DataError: an image has vanished.
        WeightsError: the backbone or its weights are not available.
    """
    world = checkpointer.world

    # Rank 0 decides which folds are left.
    unfinished: list[int] = []
    with world.synchronized() as main:
        data = read_training_set(run)
        if main:
            unfinished = [fold for fold in folds if not is_fold_complete(run.fold(fold), display)]
    unfinished = world.broadcast_object(unfinished)
    if not unfinished:
        return

    data = _open_images(replace(data, world=world), display)
    deterministic = data.recipe.train.deterministic
    try:
        with need_folder(run.path), deterministic_algorithms(deterministic, best_device()):
            _train_one_by_one(run, data, unfinished, checkpointer, display, goes_on)
    finally:
        if data.store:
            data.store.close()


def _train_one_by_one(
    run: Run,
    data: TrainingSet,
    folds: list[int],
    checkpointer: Checkpointer,
    display: Display,
    goes_on: Callable[[], bool],
) -> None:
    """Train folds one after the other, with one compute configuration and shared features."""
    features = _shared_features(data, display)
    unlabeled = read_unlabeled(run)
    compute = _autotune(run, data, display)
    n_folds = len(data.fold_numbers)
    epochs = data.recipe.train.epochs
    algorithms = cudnn_options(
        benchmark=compute.cudnn_benchmark, deterministic=torch.backends.cudnn.deterministic
    )
    with TrainingDisplay(display, folds, n_folds, epochs) as bars, algorithms, _short_collections():
        for fold in folds:
            if not goes_on():
                break
            files = run.fold(fold)
            job = FoldJob(
                data=data,
                fold=fold,
                files=files,
                features=features,
                unlabeled=unlabeled,
                compute=compute,
                checkpointer=checkpointer,
                display=bars,
            )
            with _lock_and_record_cost(files, data.world), stage("Training the folds", said=False):
                train_fold_safely(job)


@contextmanager
def _short_collections() -> Iterator[None]:
    """Leave what is in memory by now out of the garbage collection that ends each fold.

    Imported modules are a million objects. Walking through them took 0.2 s a fold, a tenth of the
    time of heads whose features are cached.
    """
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()


def _open_images(data: TrainingSet, display: Display) -> TrainingSet:
    """Check the images on each machine, and open the store of decoded images if one is wanted."""
    ensure_cache(display.notice)
    with data.world.synchronized():
        if data.world.local_rank == 0:
            check_images_exist(data)
    needs_store = data.recipe.data.store and data.recipe.train.epochs > 0
    if not needs_store:
        return data
    store = open_store(data, display)
    return replace(data, store=store)


def autotune_run(run: Run, display: Display) -> None:
    """Autotune the compute configuration of a run before its folds are trained side by side.

    Args:
        run: with its recipe, manifest and folds.
        display: shows the decision.

    Raises:
        RunError: compute.json is damaged.
        WeightsError: the backbone is unknown to this installation.
    """
    _autotune(run, read_training_set(run), display)


def prepare_folds(run: Run, display: Display) -> None:
    """Do once what folds share, before they are trained side by side by processes of this machine.

    Decodes the images into the store, autotunes, and caches the frozen features.

    Args:
        run: with its recipe, manifest and folds.
        display: shows the progress.

    Raises:
        RunError: compute.json is damaged.
        DataError: an image has vanished.
        WeightsError: the backbone or its weights are not available.
    """
    data = _open_images(read_training_set(run), display)
    try:
        with deterministic_algorithms(data.recipe.train.deterministic, best_device()):
            _autotune(run, data, display)
            if data.recipe.model.fits_head:
                frozen_features(data, display)
    finally:
        if data.store:
            data.store.close()
    # This process computes nothing more, and leaves its GPU to a fold.
    clear_device_cache(garbage_collection=True)


def _autotune(run: Run, data: TrainingSet, display: Display) -> ComputeConfig:
    n_views = 0
    for fold in data.fold_numbers:
        train_rows, _ = data.rows(fold)
        n_views += data.recipe.train.epochs * len(train_rows)
    return autotune_compute(
        run,
        n_views,
        len(data.classes),
        display,
        data.world,
    )


@contextmanager
def _lock_and_record_cost(files: FoldFiles, world: World) -> Iterator[None]:
    """Lock a fold and record its cost, both on rank 0, while the block trains it."""
    with ExitStack() as stack:
        with world.synchronized() as main:
            if main:
                stack.enter_context(files.lock())
                stack.enter_context(record_cost(files))
        yield


def is_fold_complete(files: FoldFiles, display: Display) -> bool:
    """Check that a fold is trained and predicted, and that its files are undamaged.

    Out-of-fold logits that are damaged, or belong to damaged weights, are removed, so that the fold
    is trained or predicted again.

    Args:
        files: of the fold.
        display: shows which file is damaged.
    """
    if not files.ended:
        return False
    try:
        check_member(files.weights)
        read_oof(files)
    except DamagedError as error:
        display.notice(f"{error}; what is missing is computed again")
        files.oof.unlink()
        return False
    return True


def _shared_features(data: TrainingSet, display: Display) -> Callable[[], FrozenFeatures]:
    """The frozen features of every image, computed on the first call and shared by the folds."""
    return cache(lambda: open_features(data, display))
