"""Ctrl-C and SIGTERM -> an exception at a moment when the state of a fold is whole.

A signal that comes inside a training step or an epoch's end waits for its end; a second one does
not. Where several processes train a fold, it waits until all of them know of it. Knows nothing of
what is saved then.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from bestiary.errors import Interrupted

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interrupts:
    """A context in which both signals raise `Interrupted`, but not inside `held`.

    Outside of the main thread, which alone is told of signals, it does nothing.

    Attributes:
        torn: whether a second signal has broken into what was held, so that nothing in memory can
            be trusted.
        arrived: number of the signal that waits to be heeded, or 0.
    """

    def __init__(self) -> None:
        self.torn = False
        self.arrived = 0
        self._held = False
        self._noted = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # as under nohup
                    self._former[number] = signal.signal(number, self._arrive)
        return self

    def __exit__(self, *_: object) -> None:
        while self._former:
            signal.signal(*self._former.popitem())

    @contextmanager
    def held(self) -> Iterator[None]:
        """Let the block end before a signal is heeded."""
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self.arrived and not self._noted:
            raise Interrupted(self.arrived)

    @contextmanager
    def noted(self) -> Iterator[None]:
        """A block that heeds a first signal by looking at `arrived`, since other processes must
        stop with this one.
        """
        self._noted = True
        try:
            yield
        finally:
            self._noted = False

    def _arrive(self, number: int, _: FrameType | None) -> None:
        if (self._held or self._noted) and not self.arrived:
            self.arrived = number
            return
        self.torn = self.torn or self._held
        raise Interrupted(number)
