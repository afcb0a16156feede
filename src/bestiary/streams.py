"""Standard output and standard error -> streams that never raise and that no name can steer.

A reader may go away (`| head`), a disk may be full, a stream may be closed. No work stops for that:
a stream that fails goes quiet and remembers why. Knows nothing of what is printed.
"""

import errno
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Literal, TextIO

from bestiary.printable import printable

USUAL_WIDTH = 80  # columns of a usual terminal: what results that are printed elsewhere keep to
StreamName = Literal["stdout", "stderr"]
STANDARD_DESCRIPTORS = (1, 2)
VERBS = (
    "ablate|advise|cache|compare|count|curve|demo|distill|drift|evaluate|export|join|labels|next"
    "|options|predict|probe|push|report|sample|scan|schema|serve|shard|show|train"
)
# Up to the end of a sentence or of a part of one
_COMMAND = re.compile(rf"bestiary (?:{VERBS})(?: (?:'[^']*'|[^\s;,()'])+(?<![.:]))*")
_NO_SPACE = "\0"  # stands for a space where a line must not end


class SafeStream:
    """A text stream that never raises.

    Args:
        stream: the stream; None where it is closed.

    Attributes:
        failure: the first error; nothing is written after it.
    """

    def __init__(self, stream: TextIO | None) -> None:
        self.stream = stream
        self.failure: Exception | None = None

    def write(self, text: str) -> int:
        """Write a text; characters that the stream's encoding lacks are escaped."""
        if self.stream is not None and self.failure is None:
            with self._remember_failure():
                encoding = self.stream.encoding or "utf-8"
                self.stream.write(text.encode(encoding, "backslashreplace").decode(encoding))
        return len(text)

    def flush(self) -> None:
        """Pass on what has been written."""
        if self.stream is not None and self.failure is None:
            with self._remember_failure():
                self.stream.flush()

    def isatty(self) -> bool:
        """Return whether the stream is a terminal."""
        return self.stream is not None and not self.stream.closed and self.stream.isatty()

    @property
    def has_lost_reader(self) -> bool:
        """Whether the stream has failed because nobody reads it any more."""
        return isinstance(self.failure, OSError) and self.failure.errno == errno.EPIPE

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)

    @contextmanager
    def _remember_failure(self) -> Iterator[None]:
        try:
            yield
        except (OSError, ValueError) as error:  # ValueError: the stream was closed
            self.failure = error
            self._discard_rest()

    def _discard_rest(self) -> None:
        """Lead the stream nowhere: at exit, Python flushes what it still holds."""
        with suppress(OSError, ValueError, AttributeError):
            descriptor = self.fileno()
            if descriptor in STANDARD_DESCRIPTORS:
                nowhere = os.open(os.devnull, os.O_WRONLY)
                os.dup2(nowhere, descriptor)
                os.close(nowhere)


class PrintableStream:
    """A safe stream for text of any origin: control characters are escaped.

    Args:
        safe: where the text goes. What brings control sequences of its own is written there.
    """

    def __init__(self, safe: SafeStream) -> None:
        self.safe = safe

    def write(self, text: str) -> int:
        """Write a text. A carriage return stays: progress bars of libraries use it."""
        self.safe.write("\r".join(map(printable, text.split("\r"))))
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.safe, name)


class ConsoleStream:
    """What a console of rich writes to: standard output or error as it is at each write.

    Args:
        name: of the stream.
    """

    def __init__(self, name: StreamName) -> None:
        self._name = name

    def __getattr__(self, attribute: str) -> Any:
        stream = getattr(sys, self._name)
        # While a bar is shown, rich puts a stream in place that writes to the console itself.
        stream = getattr(stream, "rich_proxied_file", stream)
        safe = stream.safe if isinstance(stream, PrintableStream) else SafeStream(stream)
        return getattr(safe, attribute)


def screen_width() -> int:
    """Return the columns that a printed result may take: a terminal's, or else 80."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else USUAL_WIDTH


def fitted(text: str, stream: Any, *, indent: int | None = None) -> str:
    """Wrap the lines that are wider than a terminal between words; elsewhere, all stay whole.

    Args:
        text: of one or more lines. A word that is too wide, such as a path, stays whole. So does a
            command: a shell would take each of its lines for a command of its own.
        stream: that it is printed on.
        indent: spaces before the lines that go on; None: as many as their first line has.

    Example:
        >>> with open(os.devnull, "w") as file:
        ...     fitted("a line for a file", file)
        'a line for a file'
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    return "\n".join(
        line
        if len(line) <= width
        else textwrap.fill(
            _COMMAND.sub(_bound, line),
            width,
            subsequent_indent=" " * _indentation(line, indent),
            break_long_words=False,
            break_on_hyphens=False,
        ).replace(_NO_SPACE, " ")
        for line in text.split("\n")
    )


def _bound(command: re.Match[str]) -> str:
    return command[0].replace(" ", _NO_SPACE)


def _indentation(line: str, indent: int | None) -> int:
    return len(line) - len(line.lstrip(" ")) if indent is None else indent


@contextmanager
def guarded_streams() -> Iterator[SafeStream]:
    """Make standard output and standard error safe inside the block, for libraries too.

    Yields:
        The standard output, which tells whether it has failed.
    """
    previous = {"stdout": sys.stdout, "stderr": sys.stderr}
    safe = {name: SafeStream(stream) for name, stream in previous.items()}
    for name, stream in safe.items():
        setattr(sys, name, PrintableStream(stream))
    try:
        yield safe["stdout"]
    finally:
        for name, stream in safe.items():
            stream.flush()
            setattr(sys, name, previous[name])


@contextmanager
def stdout_as_stderr() -> Iterator[None]:
    """Lead standard output to standard error inside the block, that of child processes too.

    What the caller writes to standard output after it stands there alone.
    """
    sys.stdout.flush()
    previous = sys.stdout
    descriptor = os.dup(1)
    os.dup2(2, 1)
    sys.stdout = sys.stderr
    try:
        yield
    finally:
        sys.stdout = previous
        os.dup2(descriptor, 1)
        os.close(descriptor)


def occupy_closed_descriptors() -> None:
    """Open the null device where a standard stream is closed.

    Otherwise the next file would take its number, and messages would be written into that file.
    """
    for descriptor in (0, *STANDARD_DESCRIPTORS):
        try:
            os.fstat(descriptor)
        except OSError:
            # The system gives the lowest number that is free: this one.
            os.set_inheritable(os.open(os.devnull, os.O_RDWR), True)
