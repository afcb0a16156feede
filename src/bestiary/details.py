"""What a command decides and where its time goes -> lines, for those who ask for them with -v.

Any module says a detail or times a stage. Where nobody asks, nothing is shown. The lines go through
Python's own logging, by the logger ``bestiary``, so that a program takes them as it takes those of
other libraries. Knows nothing of what is said.
"""

import logging
import sys
import threading
import time
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

from bestiary.errors import BestiaryError
from bestiary.numbers import NO_BREAK
from bestiary.printable import printable, printable_name
from bestiary.streams import fitted

LOGGER = logging.getLogger("bestiary")
LOGGER.addHandler(logging.NullHandler())  # a library's: without it, warnings would be printed
OTHER = "everything else, such as loading libraries"
INDENT = 11  # columns of the time before each line
MIN_SECONDS = 0.05  # of a stage that the summary names

_nested = threading.local()  # seconds of the stages inside the one that is open in a thread


def detail(text: str) -> None:
    """Say what has been decided, found or written, to those who ask for details.

    Args:
        text: one line.

    Example:
        >>> detail("graph: from the cache")
    """
    LOGGER.info("%s", text)


@contextmanager
def stage(name: str, *, said: bool = True) -> Iterator[None]:
    """Time a part of a command, and say how long it took; also where it fails.

    Stages may be nested. The time of one inside another counts for the inner one alone.

    Args:
        name: what is done, such as ``Reading images``.
        said: whether the stage has a line of its own, besides that of the summary.

    Example:
        >>> with stage("Counting"):
        ...     sum(range(10))
        45
    """
    outer = getattr(_nested, "seconds", 0.0)
    _nested.seconds = 0.0
    started = time.perf_counter()
    try:
        yield
    finally:
        seconds = time.perf_counter() - started
        inside, _nested.seconds = _nested.seconds, outer + seconds
        # Work of other threads is done meanwhile, and is no time of its own.
        is_own = threading.current_thread() is threading.main_thread()
        extra = {"stage": name if is_own else "", "seconds": seconds - inside, "said": said}
        LOGGER.info("%s: %s", name, _seconds(seconds), extra=extra)


@contextmanager
def details_shown(level: int) -> Iterator[None]:
    """Show details on standard error inside the block, and at its end where the time went.

    Args:
        level: 0: none; 1: what is decided, and where the time goes; 2: also where an error that
            bestiary foresees comes from.
    """
    if level <= 0:
        yield
        return
    lines = _Lines()
    before = LOGGER.level, LOGGER.propagate
    LOGGER.setLevel(logging.DEBUG if level > 1 else logging.INFO)
    LOGGER.propagate = False  # a program's own handlers would show them twice
    LOGGER.addHandler(lines)
    try:
        yield
    except BestiaryError:
        LOGGER.debug("the error comes from", exc_info=True)
        raise
    finally:
        lines.summarize()
        LOGGER.removeHandler(lines)
        LOGGER.setLevel(before[0])
        LOGGER.propagate = before[1]


class _Lines(logging.Handler):
    """Details -> lines of standard error, each with the seconds since the command began."""

    def __init__(self) -> None:
        super().__init__()
        self._began = time.perf_counter()
        self._seconds: dict[str, float] = defaultdict(float)

    def emit(self, record: logging.LogRecord) -> None:
        """Show a detail."""
        if name := getattr(record, "stage", ""):
            self._seconds[name] += getattr(record, "seconds", 0.0)
        if getattr(record, "said", True):
            self._print(time.perf_counter() - self._began, record.getMessage())
        if record.exc_info:
            trace = logging.Formatter().formatException(record.exc_info)
            sys.stderr.write(printable(f"{trace}\n"))

    def summarize(self) -> None:
        """Show where the time went, the longest stage first; nothing where no stage was timed."""
        if not self._seconds:
            return
        total = time.perf_counter() - self._began
        other = max(0.0, total - sum(self._seconds.values()))
        named = sorted(self._seconds.items(), key=lambda item: -item[1])
        self._print(total, "where the time went:")
        for name, seconds in [*named, (OTHER, other)]:
            if seconds >= MIN_SECONDS:
                self._print(seconds, f"  {name}")

    def _print(self, seconds: float, text: str) -> None:
        # Written at once to what standard error is now: while a bar is shown, that is its console.
        line = f"{_seconds(seconds):>{INDENT - 2}}  {printable_name(text)}"
        sys.stderr.write(fitted(line, sys.stderr, indent=INDENT) + "\n")


def _seconds(seconds: float) -> str:
    """Format seconds so that they can be compared from line to line."""
    return f"{seconds:,.2f}{NO_BREAK}s"
