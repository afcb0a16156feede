"""Checkpointer: save the fold state every N seconds, at the end of an epoch and on interruption.

A state with a non-finite loss or weight is never saved, so the last checkpoint is always good to
resume from. Several ranks agree on the step to save at, and rank 0 writes the file. Does not know
images.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, nullcontext, suppress
from typing import TypeVar

import torch

from bestiary.errors import Interrupted
from bestiary.run.layout import FoldFiles
from bestiary.signals import Interrupts
from bestiary.training.checkpoint import write_checkpoint
from bestiary.training.distributed import SINGLE_PROCESS, World
from bestiary.training.non_finite import NotFiniteError, check_losses, check_weights
from bestiary.training.state import FoldState

# Share of the training time that saving may take.
CHECKPOINT_TIME_SHARE = 0.01
# Steps between checks of the loss on a GPU, since each check waits for the device.
LOSS_CHECK_STEPS = 32

T = TypeVar("T")


class Checkpointer:
    """Saves the states of folds, one fold after the other.

    Args:
        every: seconds between checkpoints inside an epoch.
        interrupts: the context that defers signals during a step.
        world: ranks that train the folds together.
        on_step: called with the fold state after each step, before the step is recorded.
        time_share: share of the training time that saving may take. A slow disk gets fewer
            checkpoints.

    Attributes:
        every: as given.
        world: as given.
        after_non_finite: whether the fold has met a non-finite loss, so that each loss is checked.
    """

    def __init__(
        self,
        every: float,
        interrupts: Interrupts,
        world: World = SINGLE_PROCESS,
        *,
        on_step: Callable[[FoldState], None] | None = None,
        time_share: float = CHECKPOINT_TIME_SHARE,
    ) -> None:
        self.every = every
        self.world = world
        self.after_non_finite = False
        self._interrupts = interrupts
        self._on_step = on_step
        self._time_share = time_share
        self._saved_position = (0, 0)  # epochs and steps done
        self._saved_at = time.perf_counter()
        self._save_seconds = 0.0
        self._pending: Callable[[], None] | None = None

    def start_fold(self, state: FoldState) -> None:
        """Begin or resume a fold, whose state needs no saving yet."""
        self._saved_position = _position(state)
        self._saved_at = time.perf_counter()
        self._pending = None  # of a fold that failed

    def write_with_next(self, write: Callable[[], None]) -> None:
        """Write something just before the next checkpoint, unless something else is given first.

        Args:
            write: writes it. A checkpoint never refers to what is not on disk yet.
        """
        self._pending = write

    def poll_signals(self) -> AbstractContextManager[None]:
        """Let several ranks stop together: inside the block, `synchronized_batches` polls signals.

        Returns:
            The context to train a fold in; it does nothing for a single process.
        """
        if self.world.size == 1:
            return nullcontext()
        return self._interrupts.poll()

    def synchronized_batches(self, batches: Iterable[T]) -> Iterator[T]:
        """Iterate over batches in step with the other ranks.

        Args:
            batches: of this rank; every rank has equally many.

        Yields:
            Each batch, once all ranks have theirs.

        Raises:
            Interrupted: in all ranks, if one received a signal.
            BestiaryError: in rank 0, if a rank cannot load its batch.
        """
        if self.world.size == 1:
            yield from batches
            return
        iterator = iter(batches)
        while True:
            with self.world.synchronized():
                batch = next(iterator, None)
            signal_number = self.world.all_reduce_max(self._interrupts.pending)
            if signal_number:
                raise Interrupted(signal_number, agreed=True)
            if batch is None:
                return
            yield batch

    def defer_signals(self) -> AbstractContextManager[None]:
        """Defer SIGINT and SIGTERM until the block, a step or the end of an epoch, has ended."""
        return self._interrupts.defer()

    def checks_every_loss(self, state: FoldState) -> bool:
        """Check whether each loss is looked at before it can spoil the weights.

        On a CPU that costs nothing. On a GPU it costs time, and is done after a non-finite loss.
        """
        return self.after_non_finite or state.device.type == "cpu"

    def end_step(
        self, state: FoldState, files: FoldFiles, loss: torch.Tensor, seconds: float
    ) -> None:
        """Record a training step, and save a checkpoint if one is due.

        Args:
            state: the fold's state after the step.
            files: where the checkpoint is written.
            loss: of the step, a scalar on the device.
            seconds: since the epoch began.

        Raises:
            NotFiniteError: a loss since the last check is not finite.
            BestiaryError: the checkpoint cannot be written.
        """
        if self._on_step is not None:
            self._on_step(state)
        progress = state.progress
        progress.losses.append(loss)  # read rarely, so that no step waits for the device
        progress.step += 1
        progress.seconds = seconds

        is_check_step = progress.step % LOSS_CHECK_STEPS == 0
        if is_check_step and not self.checks_every_loss(state):
            check_losses(progress.losses[-LOSS_CHECK_STEPS:])

        interval = max(self.every, self._min_interval())
        if self._is_due(interval):
            self.save(state, files)

    def end_epoch(self, state: FoldState, files: FoldFiles, *, last: bool) -> None:
        """Save a checkpoint after an epoch, unless epochs are too short for what that costs.

        Args:
            state: the fold's state.
            files: where the checkpoint is written.
            last: whether this is the last epoch, after which a checkpoint is always saved.

        Raises:
            NotFiniteError: a loss or a weight is not finite.
            BestiaryError: the checkpoint cannot be written.
        """
        if self._is_due(self._min_interval()) or last:
            self.save(state, files)

    def save(self, state: FoldState, files: FoldFiles) -> None:
        """Save a checkpoint.

        Args:
            state: the fold's state.
            files: where the checkpoint is written.

        Raises:
            NotFiniteError: a loss or a weight is not finite; nothing is written.
            BestiaryError: the checkpoint cannot be written.
        """
        started = time.perf_counter()
        _check_finite(state)
        self.world.on_main(lambda: self._write(state, files))
        self._saved_position = _position(state)
        self._saved_at = time.perf_counter()
        self._save_seconds = self._saved_at - started

    def save_on_interrupt(self, state: FoldState, files: FoldFiles) -> None:
        """Save the steps since the last checkpoint when training is interrupted.

        Nothing is saved if a second signal tore the state, or if the state is not finite: then the
        last checkpoint is the one to resume from.

        Args:
            state: the fold's state.
            files: where the checkpoint is written.

        Raises:
            BestiaryError: the checkpoint cannot be written.
        """
        if self._interrupts.torn or not self.world.is_main:
            return
        if self._saved_position == _position(state):
            return
        with suppress(NotFiniteError):
            _check_finite(state)
            self._write(state, files)

    def _write(self, state: FoldState, files: FoldFiles) -> None:
        if self._pending is not None:
            self._pending()
            self._pending = None
        _write(state, files)

    def _min_interval(self) -> float:
        """Seconds between checkpoints that keep saving within its share of the time."""
        return self._save_seconds / self._time_share

    def _is_due(self, interval: float) -> bool:
        """Check whether rank 0 saved its last checkpoint at least `interval` seconds ago."""
        elapsed = time.perf_counter() - self._saved_at
        is_due = self.world.is_main and elapsed >= interval
        return bool(self.world.all_reduce_max(int(is_due)))


def _position(state: FoldState) -> tuple[int, int]:
    """Epochs done, and steps done in the current epoch."""
    return state.progress.epochs_done, state.progress.step


def _check_finite(state: FoldState) -> None:
    check_losses(state.progress.losses)
    check_weights(state.classifier)


def _write(state: FoldState, files: FoldFiles) -> None:
    write_checkpoint(
        files,
        state.classifier,
        state.average,
        state.optimizer,
        state.scaler_state,
        state.progress,
    )
