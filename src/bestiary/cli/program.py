"""One command, from its arguments to its exit status: runs a verb, prints its result or error."""

import atexit
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import dropwhile
from types import TracebackType
from typing import Any

from cyclopts import CycloptsError

from bestiary.cli.application import Answer, build_app
from bestiary.cli.documents import error_document, result_document
from bestiary.cli.environment import check_environment, set_defaults
from bestiary.cli.mistakes import describe_mistake, describe_swapped
from bestiary.cli.verbs import VERBS
from bestiary.errors import ArgumentError, BestiaryError, one_line
from bestiary.places import describe_place
from bestiary.printable import printable, printable_name
from bestiary.ranks import is_first_rank, tells_errors
from bestiary.signals import raise_interrupted, restore_defaults
from bestiary.streams import SafeStream, fitted, guarded_streams, occupy_closed_descriptors

HELP_ALL = "--help-all"
BEFORE_VERB = {"-q", "--quiet", "-v", "-vv", "--verbose", "--json"}  # understood there too
GARBAGE_THRESHOLD = 10_000  # new objects that are not freed, between two searches
JSON = "--json"
MISTAKE_STATUS = 2
DEFECT_STATUS = 70  # EX_SOFTWARE of sysexits.h; 1 is a verb's own
LOST_READER_STATUS = 141  # what a shell reports of a program that ended by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: of the command line, without the program's name; None takes this process's.

    Returns:
        The exit status: 0; 1 if the verb says so; 2 for bad input, or if the result cannot be
        printed; 141 if its reader has gone away; after Ctrl-C, SIGTERM or SIGHUP, 128 plus the
        signal's number. A defect raises.
    """
    set_defaults(os.environ)
    # While Python ends, it looks for garbage several times: 0.7 s among PyTorch's objects.
    atexit.unregister(gc.freeze)
    atexit.register(gc.freeze)
    with guarded_streams() as output:
        status = _run_command(list(sys.argv[1:] if arguments is None else arguments))
        output.flush()
        if output.failure is None:
            return status
        if output.has_lost_reader:
            return LOST_READER_STATUS
        reason = getattr(output.failure, "strerror", None) or one_line(output.failure)
        _print_error(
            f"standard output: cannot be written ({reason}); the work itself is done; free space "
            "or send the output elsewhere"
        )
        return MISTAKE_STATUS


def _run_command(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    arguments = _verb_first(arguments)
    verb = next(iter(arguments), "")
    failure = _Failure(verb if verb in VERBS else "", JSON in arguments)
    tokens = ["--help" if argument == HELP_ALL else argument for argument in arguments]
    try:
        app = build_app(verb, every_option=HELP_ALL in arguments)
        _check_surroundings(tokens)
        answer = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        text = _shown(answer)
    except CycloptsError as error:
        return failure.show("UsageError", describe_mistake(arguments, error))
    except BestiaryError as error:
        message = describe_swapped(arguments) or str(error).rstrip(".")
        return failure.show(type(error).__name__, message)
    except KeyboardInterrupt as stop:
        status = 128 + getattr(stop, "number", signal.SIGINT)
        failure.document("Interrupted", "stopped by a signal", status)
        return status
    except Exception as error:
        place_line = describe_place(error)
        if place_line is not None:
            return failure.show("DataError", place_line)
        failure.document("Defect", f"{type(error).__name__}: {one_line(error)}", DEFECT_STATUS)
        raise
    if text is not None:
        print(text if failure.as_json else fitted(text, sys.stdout))
    return int(getattr(getattr(answer, "result", None), "exit_code", 0))


def _check_surroundings(tokens: Sequence[str]) -> None:
    """Refuse an argument or a variable that the shell has not set as it was meant."""
    if "" in tokens:
        raise ArgumentError("an argument is empty; is a variable of the shell not set?")
    check_environment(os.environ)


def _verb_first(arguments: list[str]) -> list[str]:
    """Put the verb before the options that every verb takes; alone, they ask for nothing."""
    rest = list(dropwhile(BEFORE_VERB.__contains__, arguments))
    return [*rest[:1], *arguments[: len(arguments) - len(rest)], *rest[1:]] if rest else []


def _shown(answer: Any) -> str | None:
    """Return what a command prints of its result; None: nothing, as of ``--help``."""
    if not isinstance(answer, Answer):
        return None if answer is None else str(answer)
    if not is_first_rank():
        return None
    if answer.as_json:
        return result_document(answer.verb, answer.result)
    return None if answer.result is None else str(answer.result)


@dataclass(frozen=True, slots=True)
class _Failure:
    """How a command tells that it has failed.

    Attributes:
        verb: that was asked for; empty: none.
        as_json: whether programs read it too.
    """

    verb: str
    as_json: bool

    def show(self, kind: str, message: str) -> int:
        """Print a mistake; return the exit status."""
        if tells_errors():
            _print_error(message)
        self.document(kind, message, MISTAKE_STATUS)
        return MISTAKE_STATUS

    def document(self, kind: str, message: str, status: int) -> None:
        """Print the document of a failure, if one was asked for."""
        if self.as_json and is_first_rank():
            print(error_document(self.verb, kind, message, status))


def run() -> None:
    """Run the `bestiary` command: its entry point."""
    # Importing PyTorch makes a million objects that stay. With Python's threshold of 700 they are
    # searched for garbage 20 times: 0.5 s before the first image is read.
    gc.set_threshold(GARBAGE_THRESHOLD)
    occupy_closed_descriptors()
    sys.excepthook = _report_defect
    threading.excepthook = _report_thread_failure
    try:
        if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
            signal.signal(signal.SIGINT, signal.default_int_handler)
        raise_interrupted()
        status = main()
    except KeyboardInterrupt as stop:  # before the command, or while its result is printed
        status = 128 + getattr(stop, "number", signal.SIGINT)
    except Exception as error:
        _report_defect(type(error), error, error.__traceback__)
        status = DEFECT_STATUS
    restore_defaults()  # in Python's last moments, no traceback
    sys.exit(status)


def _print_error(message: str) -> None:
    """Print an error on one line of standard error."""
    print(fitted(f"bestiary: {printable_name(message)}", sys.stderr), file=sys.stderr)


def _report_defect(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print the traceback of a defect, whose message may contain any name."""
    lines = traceback.format_exception(kind, error, trace)
    SafeStream(sys.stderr).write(printable("".join(lines)))


def _report_thread_failure(failure: threading.ExceptHookArgs) -> None:
    """Print no traceback for a thread that cannot write, such as TensorBoard's on a full disk.

    The code that waits for the thread reports the error.
    """
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)
