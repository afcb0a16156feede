"""A fold in training -> its state on disk: by time, at the end of an epoch, and when it is stopped.

A state whose loss or weights are not finite is never kept, so what is on disk is always good to go on from. Knows
nothing of pictures.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import torch

from bestiary.errors import ArgumentError
from bestiary.run import FoldFiles
from bestiary.train.checkpoint import save_state
from bestiary.train.faults import NotFiniteError
from bestiary.train.interrupts import Interrupts
from bestiary.train.session import Session

MOST = 0.01  # of the time may go into states; where a disk is slow they are kept less often
LOOK = 32  # steps between looks at the loss on a GPU, which each look waits for
UNITS = {"ms": 0.001, "s": 1.0, "min": 60.0, "h": 3600.0}


def seconds_of(text: str, option: str = "--checkpoint-every") -> float:
    """Seconds of a duration such as ``50ms``, ``90s``, ``5min`` or ``2h``; infinite for ``never``. `option` is named.

    Raises:
        ArgumentError: it is none of these.
    """
    if text.strip() == "never":
        return float("inf")
    found = re.fullmatch(r"(\d{1,6}(?:\.\d+)?)\s*(ms|s|min|h)", text.strip())
    if found is None or not float(found[1]):
        raise ArgumentError(f"{option} {text}: is not a duration; give 90s, 5min, 2h or never")
    return float(found[1]) * UNITS[found[2]]


class Keeper:
    """Keeps the states of folds, one after the other.

    Args:
        every: seconds between states inside an epoch.
        interrupts: hold signals back while a step is under way.

    Attributes:
        suspicious: a loss was not finite before, so that each is looked at in time.
    """

    def __init__(self, every: float, interrupts: Interrupts) -> None:
        self.every = every
        self.suspicious = False
        self._interrupts = interrupts
        self._kept = (0, 0)  # epochs and steps of the last state
        self._since = time.perf_counter()
        self._cost = 0.0

    def begin(self, session: Session) -> None:
        """A fold begins or goes on."""
        self._kept = (session.progress.epochs_done, session.progress.step)
        self._since = time.perf_counter()

    @contextmanager
    def whole(self) -> Iterator[None]:
        """A step or an epoch's end: a signal waits until the block has ended."""
        with self._interrupts.held():
            yield

    def watched(self, session: Session) -> bool:
        """Whether a loss is looked at before it can spoil the weights: where that costs nothing, or is worth it."""
        return self.suspicious or session.device.type == "cpu"

    def end_step(self, session: Session, files: FoldFiles, loss: torch.Tensor, seconds: float) -> None:
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
        if time.perf_counter() - self._since >= max(self.every, self._cost / MOST):
            self.keep(session, files)

    def end_epoch(self, session: Session, files: FoldFiles, *, last: bool) -> None:
        """Keep a state after a whole epoch, unless epochs are too short for what that costs; raises as `keep`.

        Args:
            session: the fold.
            files: where its state lies.
            last: no epoch follows, and a state is kept in any case.
        """
        if last or time.perf_counter() - self._since >= self._cost / MOST:
            self.keep(session, files)

    def keep(self, session: Session, files: FoldFiles) -> None:
        """Write the state.

        Raises:
            NotFiniteError: it is not good to go on from.
            BestiaryError: the folder cannot be written.
        """
        progress, started = session.progress, time.perf_counter()
        check_losses(progress.losses)
        check_weights(session.classifier)
        save_state(files, session.classifier, session.average, session.optimiser, session.scaler_state, progress)
        self._kept = (progress.epochs_done, progress.step)
        self._since = time.perf_counter()
        self._cost = self._since - started

    def keep_on_stopping(self, session: Session, files: FoldFiles) -> None:
        """Keep what was done since the last state, where that is whole; the fold is being stopped."""
        if self._interrupts.torn or self._kept == (session.progress.epochs_done, session.progress.step):
            return
        with suppress(NotFiniteError):  # then the state before is the one to go on from
            self.keep(session, files)


def check_losses(losses: list[torch.Tensor]) -> None:
    """Raise `NotFiniteError` where one is not finite."""
    if losses and not bool(torch.stack(losses).isfinite().all()):
        raise NotFiniteError("the loss is not finite")


def check_weights(network: torch.nn.Module) -> None:
    """Raise `NotFiniteError` where a parameter or a running average is not finite."""
    tensors = [value for value in network.state_dict().values() if value.is_floating_point()]
    # a sum is finite only if all are, and it needs no memory; huge weights that overflow it are no good either
    if not bool(torch.stack([value.float().sum() for value in tensors]).isfinite().all()):
        raise NotFiniteError("a weight is not finite")
