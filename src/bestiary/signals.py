"""Signals: SIGINT (Ctrl-C), SIGTERM and SIGHUP -> an `Interrupted` exception between two steps.

A signal inside a training step or at the end of an epoch waits until that block ends. A second
signal does not wait. Where several ranks train a fold, a signal waits until all of them know of it.
Does not know what is saved then.
"""

import _thread
import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, Self

from bestiary.errors import Interrupted

SIGNALS = tuple(
    getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)
)
"""Ctrl-C, the word of a supervisor, and that of a terminal that goes away, which Windows lacks."""
AGAIN_AFTER = 0.2  # seconds


def raise_interrupted() -> None:
    """Let SIGTERM and SIGHUP raise `Interrupted`, so that what is half-done is cleaned up.

    A second one ends the process at once, and so does one to a process that was forked from this
    one. A signal that is ignored stays so, as under nohup. One that arrives where Python ignores
    exceptions, as while it forks or frees an object, would be lost: it is sent again.
    """
    process = os.getpid()

    def handle(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_DFL)
        if os.getpid() != process:
            os.kill(os.getpid(), number)
        raise Interrupted(number)

    def raise_again(failure: Any) -> None:
        stop = failure.exc_value
        if os.getpid() != process or not isinstance(stop, KeyboardInterrupt):
            sys.__unraisablehook__(failure)
            return
        number = getattr(stop, "number", signal.SIGINT)
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, handle)
        # Not from here, where what it raises would be ignored too. Nor does this wait until the
        # thread runs, as threading.Thread.start does.
        _thread.start_new_thread(_send_later, (process, number))

    sys.unraisablehook = raise_again
    for number in SIGNALS:
        if signal.getsignal(number) is signal.SIG_DFL:
            signal.signal(number, handle)


def _send_later(process: int, number: int) -> None:
    time.sleep(AGAIN_AFTER)
    os.kill(process, number)


def restore_defaults() -> None:
    """Let each signal that is not ignored end the process at once."""
    for number in SIGNALS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, signal.SIG_DFL)


class Interrupts:
    """A context in which each of `SIGNALS` raises `Interrupted`, except inside `defer` and `poll`.

    Python delivers signals to the main thread only; in another thread the context does nothing.

    Attributes:
        torn: a second signal broke into a deferred block, so memory may be inconsistent.
        pending: number of the signal that waits to be raised, or 0.
        received: number of the last signal, or 0.
    """

    def __init__(self) -> None:
        self.torn = False
        self.pending = 0
        self.received = 0
        self._deferring = False
        self._polling = False
        self._previous_handlers: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            for number in SIGNALS:
                if signal.getsignal(number) is not signal.SIG_IGN:  # ignored under nohup
                    previous = signal.signal(number, self._handle)
                    self._previous_handlers[number] = previous
        return self

    def __exit__(self, _: object, error: BaseException | None, __: object) -> None:
        while self._previous_handlers:
            number, handler = self._previous_handlers.popitem()
            signal.signal(number, handler)
        # A library that waits for others, such as Ray, may raise a plain KeyboardInterrupt in place
        # of what the handler raised.
        is_plain = isinstance(error, KeyboardInterrupt) and not isinstance(error, Interrupted)
        if is_plain and self.received:
            raise Interrupted(self.received) from None

    @contextmanager
    def defer(self) -> Iterator[None]:
        """Defer a signal until the block ends.

        Raises:
            Interrupted: at the end of the block, if a signal arrived inside it.
        """
        self._deferring = True
        try:
            yield
        finally:
            self._deferring = False
        if self.pending and not self._polling:
            raise Interrupted(self.pending)

    @contextmanager
    def poll(self) -> Iterator[None]:
        """Only note a first signal in `pending` inside the block, which polls it.

        Several ranks have to stop at the same step, so none may raise on its own.
        """
        self._polling = True
        try:
            yield
        finally:
            self._polling = False

    def _handle(self, number: int, _: FrameType | None) -> None:
        self.received = number
        if (self._deferring or self._polling) and not self.pending:
            self.pending = number
            return
        self.torn = self.torn or self._deferring
        raise Interrupted(number)
