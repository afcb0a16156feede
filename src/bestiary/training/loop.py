"""Training loop: one fold -> a trained member and the logits of its held-out part.

The loop is one visible function; variants are values of the recipe. Every random draw is a function
of the seed, the fold, the epoch and the step or row, so a resumed fold gives the same bits as one
that ran through. Does not know other folds, or what is done when something fails.
"""

import time
from dataclasses import asdict
from functools import partial

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.data.eval_view import EvalView
from bestiary.data.loader import Rows, split_batches
from bestiary.data.mixing import Mixing
from bestiary.model.classifier import Classifier, load_member, save_member
from bestiary.model.compute import memory_format, synchronize
from bestiary.model.freezing import set_training_mode
from bestiary.model.graph_cache import cached_graph
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import TrainOptions
from bestiary.rng import keyed_rng
from bestiary.run.layout import FoldFiles
from bestiary.run.oof import FIRST_VIEW, LOGITS, write_oof
from bestiary.run.tables import write_table
from bestiary.training.checkpoint import EpochRecord, Progress
from bestiary.training.epoch_rows import epoch_rows
from bestiary.training.fold_job import FoldJob
from bestiary.training.head import head_logits
from bestiary.training.loss import build_loss
from bestiary.training.malloc import keep_freed_memory
from bestiary.training.non_finite import check_losses
from bestiary.training.prediction import predict_rows
from bestiary.training.schedule import schedule_factor, set_learning_rate
from bestiary.training.state import FoldState, step_seed
from bestiary.training.step import backward
from bestiary.training.weight_averaging import wise_ft


def train_fold(job: FoldJob, state: FoldState) -> None:
    """Train one fold from where its state stands, then predict its held-out part.

    Args:
        job: the fold, its data and its recipe.
        state: network, optimizer and progress; changed in place.

    Raises:
        NotFiniteError: a loss or a weight is not finite.
        DataError: an image cannot be read.
        Interrupted: by Ctrl-C or SIGTERM.
        BestiaryError: the run's folder cannot be written.
    """
    data = job.data
    recipe = job.recipe
    seed = recipe.train.seed
    progress = state.progress
    train_rows, val_rows = data.rows(job.fold)
    frequencies = data.frequencies(train_rows).to(state.device)
    loss_of = build_loss(recipe.loss, frequencies, recipe.data.sampler)
    mixing = Mixing(recipe.mix.probability, recipe.mix.mixup, recipe.mix.cutmix)
    _show_start(job, progress, len(train_rows))

    # Over all epochs: each would begin with memory that the kernel has to clear.
    with keep_freed_memory(state.device):
        for epoch in range(progress.epochs_done, recipe.train.epochs):
            # Begin the epoch, or resume it after its last step.
            first_step = progress.step
            started = time.perf_counter() - progress.seconds
            set_training_mode(state.classifier, recipe.model)
            rows = epoch_rows(data, train_rows, job.fold, epoch)
            batches = split_batches(rows, recipe.train.batch_size)
            n_steps = len(batches)
            loader = data.training_batches(batches[first_step:], job.fold, epoch, state.device)
            in_step = job.checkpointer.synchronized_batches(loader)
            for step, (batch, share) in enumerate(in_step, first_step):
                with job.checkpointer.defer_signals():
                    # Seed dropout and drop path, and set the learning rate.
                    torch.manual_seed(step_seed(seed, job.fold, epoch, step, job.world.rank))
                    lr = _learning_rate(recipe, epoch, step, n_steps)
                    set_learning_rate(state.optimizer, lr)

                    # Mix the images, then drop the partners that they were mixed with.
                    images = state.classifier.preprocess(batch.on(state.device))
                    targets = data.soft_targets(batch.rows, state.device)
                    steps_done = epoch * n_steps + step
                    if steps_done < recipe.mix.stop_at * n_steps * recipe.train.epochs:
                        rng = keyed_rng(seed, "mix", job.fold, epoch, step)
                        images, targets = mixing(images, targets, rng)
                    own = slice(share.n_partners, None)

                    # Gradients, optimizer, EMA, checkpoint.
                    loss = backward(
                        state,
                        loss_of,
                        images[own],
                        targets[own],
                        lr,
                        check_loss=job.checkpointer.checks_every_loss(state),
                        weight=share.weight,
                    )
                    state.optimizer.step()
                    state.optimizer.zero_grad()
                    state.update_average(steps_done + 1)
                    seconds = time.perf_counter() - started
                    job.checkpointer.end_step(state, job.files, loss, seconds)
                job.display.step(len(batches[step]))

            # Score the epoch, then save the member and a checkpoint.
            lr = _learning_rate(recipe, epoch, n_steps - 1, n_steps)
            finish_epoch(job, state, val_rows, lr, len(train_rows), started)

    predict_held_out(job, state, val_rows)


def _show_start(job: FoldJob, progress: Progress, n_train: int) -> None:
    """Show where the fold begins or resumes."""
    images_done = progress.step * job.recipe.train.batch_size
    job.display.start_fold(job.fold, progress.epochs_done, n_train, images_done)


def _learning_rate(recipe: Recipe, epoch: int, step: int, n_steps: int) -> float:
    """Compute the learning rate of step `step` of an epoch of `n_steps`."""
    factor = schedule_factor(
        recipe.schedule,
        epoch,
        step,
        n_steps,
        recipe.train.epochs,
    )
    return recipe.optimizer.lr * factor


def finish_epoch(
    job: FoldJob,
    state: FoldState,
    val_rows: Rows,
    lr: float,
    n_trained: int,
    started: float,
) -> None:
    """Finish an epoch: score its member, save what it has given, and show the scores.

    Args:
        job: the fold.
        state: its state; the epoch is added to its progress.
        val_rows: rows of the held-out part.
        lr: learning rate of the last step.
        n_trained: number of images that the epoch has trained on.
        started: time of `time.perf_counter` at which the epoch began.

    Raises:
        NotFiniteError: a loss or a weight is not finite.
        DataError: an image cannot be read.
        BestiaryError: the run's folder cannot be written.
    """
    progress = state.progress
    if state.device.type != "cpu":
        # A GPU is behind the steps that it was given; their seconds last until it has done them.
        synchronize(state.device)
        progress.seconds = time.perf_counter() - started
    job.display.start_scoring()
    member = member_to_evaluate(job, state)
    scores = score_held_out(job, state, member, val_rows)
    record = _epoch_record(progress, lr, scores, n_trained, started)
    with job.checkpointer.defer_signals():
        _save_epoch(job, state, member, record)
    job.display.end_epoch(
        record.epoch,
        record.train_loss,
        record.val_accuracy,
        progress.best_accuracy,
        record.images_per_second,
    )


def member_to_evaluate(job: FoldJob, state: FoldState) -> Classifier:
    """Build the model to evaluate: after the last epoch, interpolated with the initial weights.

    The interpolation is WiSE-FT, if the recipe asks for it. The weights of `state` do not change,
    so a checkpoint can be saved at any time.

    Args:
        job: the fold.
        state: its state, before the current epoch is recorded.

    Returns:
        The member.

    Raises:
        RunError: the initial weights are missing or damaged.
    """
    options = job.recipe.train
    is_last = state.progress.epochs_done + 1 == options.epochs
    if not options.wise_ft or not is_last:
        return state.member
    with job.world.synchronized():
        start = load_member(job.files.initial)
        start.to(state.device)
    start.to(memory_format=torch.channels_last)
    return wise_ft(start, state.member, options.wise_ft)


def score_held_out(
    job: FoldJob,
    state: FoldState,
    member: Classifier,
    val_rows: Rows,
) -> tuple[float | None, float | None]:
    """Score a member on the held-out part, if the current epoch is scored at all.

    Args:
        job: the fold.
        state: its state, before the current epoch is recorded.
        member: the model to evaluate.
        val_rows: rows of the held-out part.

    Returns:
        Mean cross-entropy and accuracy, each None if the epoch is not scored.
    """
    options = job.recipe.train
    is_last = state.progress.epochs_done + 1 == options.epochs
    if not (is_last or options.keep_best):
        return None, None

    # Predict the samples without a label conflict.
    rows = job.data.scorable(val_rows)
    job.world.broadcast_buffers(member)
    predictions = predict_rows(
        job.data,
        member,
        rows,
        state.device,
        state.compute.precision,
        parts=state.progress.parts,
    )

    logits = torch.from_numpy(predictions)
    labels = torch.from_numpy(job.data.labels[rows])
    is_hit = logits.argmax(dim=1) == labels
    accuracy = is_hit.float().mean().item()
    loss = functional.cross_entropy(logits, labels).item()
    return loss, accuracy


def _epoch_record(
    progress: Progress,
    lr: float,
    scores: tuple[float | None, float | None],
    n_trained: int,
    started: float,
) -> EpochRecord:
    """Record the current epoch, whose losses must be finite."""
    check_losses(progress.losses)
    val_loss, val_accuracy = scores
    return EpochRecord(
        epoch=progress.epochs_done + 1,
        lr=lr,
        train_loss=torch.stack(progress.losses).mean().item(),
        val_loss=val_loss,
        val_accuracy=val_accuracy,
        images_per_second=n_trained / progress.seconds,
        seconds=time.perf_counter() - started,
    )


def _save_epoch(job: FoldJob, state: FoldState, member: Classifier, record: EpochRecord) -> None:
    """Save the member if it is the best so far, a checkpoint to resume from, and the history."""
    options = job.recipe.train
    progress = state.progress
    progress.end_epoch(record)
    is_best = _is_best(record, progress, options)
    if is_best and record.val_accuracy is not None:
        progress.best_accuracy = record.val_accuracy
        progress.best_epoch = record.epoch

    # The checkpoint is written after the member: a crash in between repeats the steps since the
    # last checkpoint, and writes the same files again.
    job.world.on_main(lambda: _save_members(job, state, member, record.epoch, is_best=is_best))
    is_last = record.epoch == options.epochs
    job.checkpointer.end_epoch(state, job.files, last=is_last)

    job.world.on_main(lambda: _write_history(job.files, progress))
    columns = asdict(record)
    metrics = {name: value for name, value in columns.items() if value is not None}
    state.trackers.log(metrics, record.epoch)


def _save_members(
    job: FoldJob,
    state: FoldState,
    member: Classifier,
    epoch: int,
    *,
    is_best: bool,
) -> None:
    """Save the best member, and every few epochs the current one if the recipe asks for it.

    The best member is written with the next checkpoint: early in training, each epoch's is better
    than the one before, and writing all of them would take as long as the epochs.
    """
    if is_best:
        best = {name: tensor.clone() for name, tensor in member.state_dict().items()}
        write = partial(save_member, member, job.files.weights, best)
        job.checkpointer.write_with_next(write)
    save_every = job.recipe.train.save_every
    if save_every and epoch % save_every == 0:
        save_member(state.member, job.files.epoch(epoch))


def _is_best(record: EpochRecord, progress: Progress, options: TrainOptions) -> bool:
    """Whether an epoch gives the member: the best accuracy, or the last with keep_best=false."""
    if record.val_accuracy is None:
        return False
    return not options.keep_best or record.val_accuracy > progress.best_accuracy


def _write_history(files: FoldFiles, progress: Progress) -> None:
    rows = [asdict(record) for record in progress.history]
    table = pl.DataFrame(rows, infer_schema_length=None)
    write_table(files.history, table)


def predict_held_out(job: FoldJob, state: FoldState, val_rows: Rows) -> None:
    """Predict the held-out part with the saved member, and write the out-of-fold logits.

    The member of a probe, which trains no epoch, is saved first.

    Args:
        job: the fold.
        state: its state.
        val_rows: rows of the held-out part.

    Raises:
        DataError: an image cannot be read.
        BestiaryError: the run's folder cannot be written.
    """
    files = job.files
    is_probe = job.recipe.train.epochs == 0
    if is_probe:
        job.world.on_main(lambda: save_member(state.member, files.weights))
    with job.world.synchronized():
        member = load_member(files.weights)
        member.to(state.device)
        member.to(memory_format=memory_format(True))

    if is_probe:
        logits = _probe_logits(job, member, val_rows)
    else:
        view = EvalView.of(job.recipe.view, member.interpolation)
        logits = predict_rows(
            job.data,
            member,
            val_rows,
            state.device,
            state.compute.precision,
            keeps_first=job.recipe.predict.tta > 1,
            parts=state.progress.parts,
            graph_path=partial(cached_graph, files.weights, view.size),
        )
    job.world.on_main(lambda: _write_oof(job, val_rows, logits))


def _probe_logits(job: FoldJob, member: Classifier, rows: Rows) -> NDArray[np.float32]:
    """Apply a member's head to the frozen features; the result is empty except on rank 0."""
    features = job.features()
    mean = features.mean[rows]
    if not job.world.is_main:
        return mean
    logits = head_logits(member, mean)
    first = features.of_first_view(rows)
    return logits if first is None else np.stack([logits, head_logits(member, first)], axis=1)


def _write_oof(job: FoldJob, rows: Rows, logits: NDArray[np.float32]) -> None:
    """Write logits (n, classes), or those of all views and of the first (n, 2, classes)."""
    data = job.data
    of_views = (logits,) if logits.ndim == 2 else (logits[:, 0], logits[:, 1])
    dtype = pl.Array(pl.Float32, len(data.classes))
    columns = {
        name: pl.Series(np.ascontiguousarray(values), dtype=dtype)
        for name, values in zip((LOGITS, FIRST_VIEW), of_views, strict=False)
    }
    labels = [data.classes[label] for label in data.labels[rows]]
    table = pl.DataFrame({"path": data.paths[rows], "label": labels, **columns})
    write_oof(job.files, table, data.classes)
