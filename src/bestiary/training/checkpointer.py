"""A fold in training -> its state on disk: by time, at the end of an epoch, and when it is stopped.

A state whose loss or weights are not finite is never kept, so what is on disk is always good to go
on from. Where several processes train a fold, they agree on when, and the main one writes. Knows
nothing of images.
"""

import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import TypeVar

import torch

from bestiary.errors import Interrupted
from bestiary.run.layout import FoldFiles
from bestiary.signals import Interrupts
from bestiary.training.checkpoint import save_state
from bestiary.training.distributed import SINGLE_PROCESS, World
from bestiary.training.non_finite import NotFiniteError, check_losses, check_weights
from bestiary.training.state import FoldState

MOST = 0.01  # of the time may go into states; where a disk is slow they are kept less often
LOOK = 32  # steps between looks at the loss on a GPU, which each look waits for
T = TypeVar("T")


class Checkpointer:
    """Keeps the states of folds, one after the other.

    Args:
        every: seconds between states inside an epoch.
        interrupts: hold signals back while a step is under way.
        world: the processes that train the folds together.

    Attributes:
        world: likewise.
        suspicious: a loss was not finite before, so that each is looked at in time.
    """

    def __init__(self, every: float, interrupts: Interrupts, world: World = SINGLE_PROCESS) -> None:
        self.every = every
        self.world = world
        self.suspicious = False
        self._interrupts = interrupts
        self._kept = (0, 0)  # epochs and steps of the last state
        self._since = time.perf_counter()
        self._cost = 0.0

    def begin(self, session: FoldState) -> None:
        """A fold begins or goes on."""
        self._kept = (session.progress.epochs_done, session.progress.step)
        self._since = time.perf_counter()

    @contextmanager
    def noting(self) -> Iterator[None]:
        """A fold's training, in which several processes heed a signal together."""
        with self._interrupts.noted() if self.world.size > 1 else nullcontext():
            yield

    def agreed(self, items: Iterable[T]) -> Iterator[T]:
        """Each of `items` once all processes have theirs.

        Raises:
            Interrupted: in all, where one has been told to stop.
            BestiaryError: in the main process, where one cannot have its item.
        """
        if self.world.size == 1:
            yield from items
            return
        waiting = iter(items)
        while True:
            with self.world.synchronized():
                item = next(waiting, None)
            number = self.world.all_reduce_max(self._interrupts.arrived)
            if number:
                raise Interrupted(number, agreed=True)
            if item is None:
                return
            yield item

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A step or an epoch's end: a signal waits until the block has ended."""
        with self._interrupts.held():
            yield

    def watched(self, session: FoldState) -> bool:
        """Whether a loss is looked at before it can spoil the weights: where that costs nothing,
        or is worth it.
        """
        return self.suspicious or session.device.type == "cpu"

    def end_step(
        self, session: FoldState, files: FoldFiles, loss: torch.Tensor, seconds: float
    ) -> None:
        """Note a step; keep a state if it is time.

        Args:
            session: the fold.
            files: where its state lies.
            loss: of the step, a scalar on the device.
            seconds: since the epoch began.

        Raises:
            NotFiniteError: a loss since the last look was not finite.
            BestiaryError: the state cannot be written.
        """
        progress = session.progress
        progress.losses.append(loss)  # read seldom, so that no step waits for the device
        progress.step += 1
        progress.seconds = seconds
        if not self.watched(session) and progress.step % LOOK == 0:
            check_losses(progress.losses[-LOOK:])
        if self._is_due(max(self.every, self._cost / MOST)):
            self.keep(session, files)

    def end_epoch(self, session: FoldState, files: FoldFiles, *, last: bool) -> None:
        """Keep a state after a whole epoch, unless epochs are too short for what that costs; raises
        as `keep`.

        Args:
            session: the fold.
            files: where its state lies.
            last: no epoch follows, and a state is kept in any case.
        """
        if self._is_due(self._cost / MOST) or last:
            self.keep(session, files)

    def _is_due(self, seconds: float) -> bool:
        """Whether the main process has kept its last state `seconds` ago."""
        return bool(
            self.world.all_reduce_max(
                int(self.world.is_main and time.perf_counter() - self._since >= seconds)
            )
        )

    def keep(self, session: FoldState, files: FoldFiles) -> None:
        """Write the state.

        Raises:
            NotFiniteError: it is not good to go on from.
            BestiaryError: the folder cannot be written.
        """
        progress, started = session.progress, time.perf_counter()
        _check(session)
        with self.world.synchronized() as main:
            if main:
                _save(session, files)
        self._kept = (progress.epochs_done, progress.step)
        self._since = time.perf_counter()
        self._cost = self._since - started

    def keep_on_stopping(self, session: FoldState, files: FoldFiles) -> None:
        """Keep what was done since the last state, where that is whole; the fold is being
        stopped.
        """
        progress = session.progress
        if (
            self._interrupts.torn
            or not self.world.is_main
            or self._kept == (progress.epochs_done, progress.step)
        ):
            return
        with suppress(NotFiniteError):  # then the state before is the one to go on from
            _check(session)
            _save(session, files)


def _check(session: FoldState) -> None:
    check_losses(session.progress.losses)
    check_weights(session.classifier)


def _save(session: FoldState, files: FoldFiles) -> None:
    save_state(
        files,
        session.classifier,
        session.average,
        session.optimizer,
        session.scaler_state,
        session.progress,
    )
