"""Fold setup: a fold job -> its fold state, fresh or restored from the last checkpoint.

Builds accelerator, network, head, EMA and optimizer. Does not know the training loop.
"""

import math
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from numpy.typing import NDArray

from bestiary.data.loader import Rows
from bestiary.errors import RunError
from bestiary.model.classifier import Classifier, build_classifier, save_member
from bestiary.model.compiled import CompiledNetwork
from bestiary.model.device import best_device
from bestiary.model.freezing import freeze
from bestiary.model.graphed import GraphedNetwork
from bestiary.model.lora import add_lora
from bestiary.run.heads import write_head
from bestiary.run.tables import write_table
from bestiary.training.checkpoint import Checkpoint, Progress, read_checkpoint
from bestiary.training.determinism import pool_in_fixed_order
from bestiary.training.fold_job import FoldJob
from bestiary.training.head import fit_layer, head_logits, set_head
from bestiary.training.optimizer import build_optimizer
from bestiary.training.out_of_memory import count_parts
from bestiary.training.shortcuts import with_shortcuts
from bestiary.training.state import FoldState, step_seed
from bestiary.training.tracking.start import start_fold_trackers
from bestiary.training.weight_averaging import ema_of

if TYPE_CHECKING:
    from timm.utils import ModelEmaV3


def build_fold_state(job: FoldJob, parts: int = 1) -> FoldState:
    """Build the state of one fold, and restore it from the last checkpoint if there is one.

    Args:
        job: the fold.
        parts: number of parts, at least, that each batch is cut into to save memory.

    Returns:
        The state to begin or resume training with.

    Raises:
        RunError: the fold's folder cannot be written, or its checkpoint cannot be used.
        WeightsError: the backbone or its weights are not available.
        DataError: an image has vanished.
    """
    accelerator = _build_accelerator(job)
    classifier, checkpoint = _build_classifier(job, accelerator)
    average = ema_of(classifier, job.recipe.train.ema)
    optimizer = build_optimizer(classifier, job.recipe.optimizer)
    network = with_shortcuts(classifier, job.recipe, job.compute)
    network, optimizer = accelerator.prepare(network, optimizer)
    progress = Progress()
    if checkpoint is not None:
        progress = _restore(checkpoint, accelerator, classifier, average, optimizer)
    progress.parts = max(progress.parts, parts)
    # The classifier shares its parameters, and stays as it is for prediction.
    whole = _whole_part(job, progress.parts)
    if job.compute.compiled:
        network = CompiledNetwork(network, whole)
    elif job.compute.cuda_graphs and job.world.size == 1 and whole == job.recipe.train.batch_size:
        # The gradients of a batch in parts are added up, which graphs cannot do.
        network = GraphedNetwork(network, whole)
    # Last, so that whatever fails before leaves no tracker open.
    with job.world.synchronized():
        trackers = start_fold_trackers(job)
    return FoldState(
        accelerator=accelerator,
        classifier=classifier,
        network=network,
        average=average,
        optimizer=optimizer,
        compute=job.compute,
        progress=progress,
        world=job.world,
        trackers=trackers,
    )


def _whole_part(job: FoldJob, parts: int) -> int:
    """Count the images that a rank computes at a time, of a whole batch cut into `parts`."""
    of_rank = math.ceil(job.recipe.train.batch_size / job.world.size)
    return math.ceil(of_rank / count_parts(of_rank, parts))


def _build_accelerator(job: FoldJob) -> Accelerator:
    # Accelerate keeps one precision for the whole process, but folds and runs may differ in it.
    # Nor may one run of a process keep the device of another.
    AcceleratorState._reset_state(reset_partial_state=job.world.size == 1)
    precision = job.compute.precision
    return Accelerator(
        cpu=best_device().type == "cpu",
        mixed_precision="no" if precision == "float32" else precision,
    )


def _build_classifier(
    job: FoldJob, accelerator: Accelerator
) -> tuple[Classifier, Checkpoint | None]:
    """Build the network to train, and read the checkpoint that its weights are to come from."""
    recipe = job.recipe

    # Seed the new head, then build the network on each rank.
    torch.manual_seed(step_seed(recipe.train.seed, job.fold, 0, 0))
    with job.world.synchronized():
        checkpoint = read_checkpoint(job.files, job.notice)
        classifier = _build_network(job, checkpoint)
    _check_same_disk(job, checkpoint)

    # Fit the head. WiSE-FT needs these weights at the end.
    if recipe.model.fits_head and checkpoint is None:
        _fit_head(job, classifier)
    if recipe.train.wise_ft and checkpoint is None:
        job.world.on_main(lambda: save_member(classifier, job.files.initial))

    # Add adapters, freeze layers, and synchronize norms.
    if recipe.adapts:
        seed = step_seed(recipe.train.seed, job.fold, 0, 0)
        add_lora(classifier, recipe.model.lora, recipe.view.size, seed)
    freeze(classifier, recipe.model)
    if _needs_synced_norms(job, accelerator):
        from timm.layers import convert_sync_batchnorm

        classifier = convert_sync_batchnorm(classifier)
    if recipe.train.deterministic and accelerator.device.type != "cpu":
        pool_in_fixed_order(classifier)
    # Before the EMA copies the classifier, which then computes where the classifier does.
    classifier.to(accelerator.device)
    classifier.to(memory_format=job.compute.memory_format)
    return classifier, checkpoint


def _build_network(job: FoldJob, checkpoint: Checkpoint | None) -> Classifier:
    """Build the classifier; pretrained weights are loaded only if no checkpoint replaces them."""
    model = job.recipe.model
    classifier = build_classifier(
        model.backbone,
        len(job.data.classes),
        model.weights if checkpoint is None else "none",
        model.normalize,
        model.power_norm,
    )
    if checkpoint is not None:
        checkpoint.describe(classifier)
    return classifier


def _check_same_disk(job: FoldJob, checkpoint: Checkpoint | None) -> None:
    """Check that all ranks found the fold's checkpoint, or none did."""
    has_checkpoint = job.world.all_gather(checkpoint is not None)
    if len(set(has_checkpoint)) > 1:
        raise RunError(
            f"{job.files.state}: is not seen by all processes; choose a folder that all machines "
            "share"
        )


def _fit_head(job: FoldJob, classifier: Classifier) -> None:
    """Fit the head to frozen features on rank 0, and broadcast it."""
    train_rows, val_rows = job.data.rows(job.fold)
    features = job.features().mean  # every rank computes a share; rank 0 gets all of them
    if job.world.is_main:
        layer, choice = fit_layer(
            job.recipe,
            features[train_rows],
            job.data.labels[train_rows],
            job.data.folds[train_rows],
            len(job.data.classes),
            job.unlabeled,
        )
        set_head(classifier, layer)
        if choice is not None:
            write_head(job.files, choice)
        if job.recipe.train.epochs:
            _write_start(job, val_rows, head_logits(classifier, features[val_rows]))
    head = job.world.broadcast_object(classifier.head_layer.state_dict())
    classifier.head_layer.load_state_dict(head)


def _write_start(job: FoldJob, rows: Rows, logits: NDArray[np.float32]) -> None:
    """Write what the head answers before training, to tell later what training has changed."""
    data = job.data
    predicted = [data.classes[index] for index in logits.argmax(axis=1)]
    table = pl.DataFrame({"path": data.paths[rows], "predicted": predicted})
    write_table(job.files.start, table)


def _needs_synced_norms(job: FoldJob, accelerator: Accelerator) -> bool:
    """Check whether batch norms learn on several GPUs, which then see the whole batch."""
    norms_learn = not (job.recipe.model.freeze_norms or job.recipe.adapts)
    several_gpus = job.world.size > 1 and accelerator.device.type == "cuda"
    return norms_learn and several_gpus


def _restore(
    checkpoint: Checkpoint,
    accelerator: Accelerator,
    classifier: Classifier,
    average: "ModelEmaV3 | None",
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Load a checkpoint into the objects of a fold; return the progress to resume from."""
    checkpoint.restore(classifier, average, optimizer)
    if accelerator.scaler is not None and checkpoint.scaler:
        accelerator.scaler.load_state_dict(checkpoint.scaler)
    progress = checkpoint.progress
    progress.losses = [loss.to(accelerator.device) for loss in progress.losses]
    return progress
