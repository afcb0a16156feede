"""Ctrl-C and SIGTERM -> an exception at a moment when the state of a fold is whole.

A signal that comes inside a training step or an epoch's end waits for its end; a second one does not. Knows nothing of
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
        torn: whether a second signal has broken into what was held, so that nothing in memory can be trusted.
    """

    def __init__(self) -> None:
        self.torn = False
        self._held = False
        self._arrived = 0
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
        if self._arrived:
            raise Interrupted(self._arrived)

    def _arrive(self, number: int, _: FrameType | None) -> None:
        if self._held and not self._arrived:
            self._arrived = number
            return
        self.torn = self.torn or self._held
        raise Interrupted(number)
