"""One fold: a training set -> a member's weights and the logits of the images it never saw.

The loop is one visible function; variants are values of the recipe. Every random draw is a function
of the seed, the fold, the epoch and the step or row, so a fold gives the same result whether it ran
through or was resumed. Knows nothing of other folds, or of what is done when something fails.
"""

import time
from dataclasses import asdict
from functools import partial

import numpy as np
import polars as pl
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.data.loader import Rows, split_batches
from bestiary.data.mixing import Mixing
from bestiary.data.views import EvalView
from bestiary.display import TrainingDisplay
from bestiary.model.classifier import Classifier, load_member, memory_format, save_member
from bestiary.model.engine import cached_graph
from bestiary.model.freezing import set_training_mode
from bestiary.recipe.options import TrainOptions
from bestiary.rng import keyed_rng
from bestiary.run.layout import FoldFiles
from bestiary.run.oof import write_oof
from bestiary.run.tables import write_table
from bestiary.training.checkpoint import EpochRecord
from bestiary.training.checkpointer import Checkpointer
from bestiary.training.dataset import TrainingSet
from bestiary.training.lda_head import head_logits
from bestiary.training.loss import build_loss
from bestiary.training.malloc import freed_memory_kept
from bestiary.training.non_finite import check_losses
from bestiary.training.prediction import predict_rows
from bestiary.training.schedule import schedule_factor, set_learning_rate
from bestiary.training.state import FoldState, step_seed
from bestiary.training.step import backward
from bestiary.training.weight_averaging import wise_ft


def train_fold(
    data: TrainingSet,
    fold: int,
    files: FoldFiles,
    session: FoldState,
    checkpointer: Checkpointer,
    display: TrainingDisplay,
) -> None:
    """Train one fold, or go on with it where its session stands; then predict its held-out part.

    Args:
        data: the images, labels and folds of the run, and its recipe.
        fold: number of the fold that is held out.
        files: where the results go.
        session: network, optimizer and progress.
        keeper: keeps the state inside an epoch.
        display: told of every step and epoch.
    """
    recipe, seed, progress, world = (
        data.recipe,
        data.recipe.train.seed,
        session.progress,
        data.world,
    )
    (train_rows, held_rows), classifier, optimizer = (
        data.rows(fold),
        session.classifier,
        session.optimizer,
    )
    loss_of = build_loss(recipe.loss, data.frequencies(train_rows).to(session.device))
    mixing = Mixing(recipe.mix.probability, recipe.mix.mixup, recipe.mix.cutmix)
    display.start_fold(
        fold, progress.epochs_done, len(train_rows), progress.step * recipe.train.batch_size
    )

    for epoch in range(progress.epochs_done, recipe.train.epochs):
        first, started = progress.step, time.perf_counter() - progress.seconds
        set_training_mode(classifier, recipe.model)
        batches = split_batches(data.epoch_rows(train_rows, fold, epoch), recipe.train.batch_size)
        loading = data.training_batches(batches[first:], fold, epoch, session.device)
        with freed_memory_kept(session.device):
            for step, (batch, share) in enumerate(checkpointer.agreed(loading), first):
                with checkpointer.whole():
                    torch.manual_seed(
                        step_seed(seed, fold, epoch, step, world.rank)
                    )  # for dropout and drop path
                    done = epoch * len(batches) + step
                    rate = recipe.optimizer.lr * schedule_factor(
                        recipe.schedule, epoch, step, len(batches), recipe.train.epochs
                    )
                    set_learning_rate(optimizer, rate)
                    images = classifier.preprocess(batch.on(session.device))
                    targets = data.soft_targets(batch.rows).to(session.device)
                    if done < recipe.mix.stop_at * len(batches) * recipe.train.epochs:
                        images, targets = mixing(
                            images, targets, keyed_rng(seed, "mix", fold, epoch, step)
                        )
                    own, watched = slice(share.before, None), checkpointer.watched(session)
                    loss = backward(
                        session,
                        loss_of,
                        images[own],
                        targets[own],
                        rate,
                        watched=watched,
                        weight=share.weight,
                    )
                    optimizer.step()
                    optimizer.zero_grad()
                    session.follow(done + 1)
                    checkpointer.end_step(session, files, loss, time.perf_counter() - started)
                display.step(len(batches[step]))
        member = member_to_evaluate(session, files, recipe.train, epoch + 1)
        scored = score_held_out(
            data, session, member, data.scored(held_rows), last=epoch + 1 == recipe.train.epochs
        )
        check_losses(progress.losses)
        rate = recipe.optimizer.lr * schedule_factor(
            recipe.schedule, epoch, len(batches) - 1, len(batches), recipe.train.epochs
        )
        train_loss, speed = (
            torch.stack(progress.losses).mean().item(),
            len(train_rows) / progress.seconds,
        )
        record = EpochRecord(
            epoch + 1, rate, train_loss, *scored, speed, time.perf_counter() - started
        )
        with checkpointer.whole():
            end_epoch(data, session, member, files, record, checkpointer)
        display.end_epoch(epoch + 1, train_loss, record.val_accuracy, progress.best_accuracy, speed)
    with world.synchronized() as main:
        if (
            main and not recipe.train.epochs
        ):  # the head that a probe has fitted is all there is to the member
            save_member(session.member, files.weights)
    keep_oof(data, session, held_rows, files)


def member_to_evaluate(
    session: FoldState, files: FoldFiles, options: TrainOptions, epochs: int
) -> Classifier:
    """The model to evaluate after `epochs` epochs; after the last one, interpolated with the
    initial weights.

    The session's own weights stay as they are, so that a state can be kept at any time.

    Raises:
        RunError: the initial weights are missing or damaged.
    """
    share = options.wise_ft
    if not share or epochs < options.epochs:
        return session.member
    with session.world.synchronized():
        start = load_member(files.initial).to(session.device)
    return wise_ft(start.to(memory_format=torch.channels_last), session.member, share)


def end_epoch(
    data: TrainingSet,
    session: FoldState,
    member: Classifier,
    files: FoldFiles,
    record: EpochRecord,
    checkpointer: Checkpointer,
) -> None:
    """Keep what an epoch has earned: the member if it is the best so far, and the state to go on
    from.
    """
    train, progress = data.recipe.train, session.progress
    progress.end_epoch(record)
    better = False
    if record.val_accuracy is not None and (
        not train.keep_best or record.val_accuracy > progress.best_accuracy
    ):
        better, progress.best_accuracy, progress.best_epoch = (
            True,
            record.val_accuracy,
            record.epoch,
        )
    with data.world.synchronized() as main:
        if main and better:
            save_member(member, files.weights)
        if main and train.save_every and record.epoch % train.save_every == 0:
            save_member(session.member, files.epoch(record.epoch))
    # The state comes last: a crash before it repeats what came since the one before and writes the
    # same files again.
    checkpointer.end_epoch(session, files, last=record.epoch == train.epochs)
    with data.world.synchronized() as main:
        if main:
            write_table(
                files.history,
                pl.DataFrame([asdict(row) for row in progress.history], infer_schema_length=None),
            )
    session.log(record.epoch, {k: v for k, v in asdict(record).items() if v is not None})


def score_held_out(
    data: TrainingSet, session: FoldState, member: Classifier, rows: Rows, *, last: bool
) -> tuple[float | None, float | None]:
    """Mean cross-entropy and accuracy on the held-out part, where this epoch is scored at all."""
    if not (last or data.recipe.train.keep_best):
        return None, None
    precision = session.arithmetic.precision
    data.world.broadcast_buffers(member)
    parts = session.progress.parts
    logits = torch.from_numpy(
        predict_rows(data, member, rows, session.device, precision, parts=parts)
    )
    labels = torch.from_numpy(data.labels[rows])
    accuracy = (logits.argmax(dim=1) == labels).float().mean().item()
    return functional.cross_entropy(logits, labels).item(), accuracy


def keep_oof(data: TrainingSet, session: FoldState, rows: Rows, files: FoldFiles) -> None:
    """Predict the held-out part with the member as it will be used, and keep the logits."""
    with data.world.synchronized():
        member = load_member(files.weights).to(session.device).to(memory_format=memory_format(True))
    precision = session.arithmetic.precision
    graph = partial(
        cached_graph, files.weights, EvalView.of(data.recipe.view, member.interpolation).size
    )
    if data.recipe.train.epochs:
        logits = predict_rows(
            data, member, rows, session.device, precision, parts=session.progress.parts, kept=graph
        )
    else:
        vectors = session.features()[rows]  # which the main process alone has
        logits = head_logits(member, vectors) if data.world.is_main else vectors
    with data.world.synchronized() as main:
        if main:
            write_oof(files, _oof_table(data, rows, logits), data.classes)


def _oof_table(data: TrainingSet, rows: Rows, logits: NDArray[np.float32]) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "path": data.paths[rows],
            "label": [data.classes[data.labels[row]] for row in rows],
            "logits": pl.Series(logits, dtype=pl.Array(pl.Float32, logits.shape[1])),
        }
    )
