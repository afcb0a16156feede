"""One command, from its arguments to its exit status: runs a verb, prints its result or error."""

import atexit
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Sequence
from types import TracebackType

from cyclopts import CycloptsError

from bestiary.cli.application import build_app
from bestiary.cli.mistakes import describe_mistake, describe_swapped
from bestiary.errors import ArgumentError, BestiaryError, one_line
from bestiary.printable import printable, printable_name
from bestiary.streams import SafeStream, guarded_streams, occupy_closed_descriptors

HELP_ALL = "--help-all"
VERBOSE = {"--verbose", "-v"}
GARBAGE_THRESHOLD = 10_000  # new objects that are not freed, between two searches
LOST_READER_STATUS = 141  # what a shell reports of a program that ended by SIGPIPE


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        arguments: of the command line, without the program's name; None takes this process's.

    Returns:
        The exit status: 0; 1 if the verb says so; 2 for bad input, or if the result cannot be
        printed; 141 if its reader has gone away; after Ctrl-C or SIGTERM, 128 plus the signal's
        number.
    """
    # PyTorch's own warnings speak of its insides, and mix with what is printed here. Processes that
    # this one starts inherit the variable. Who wants the log sets it.
    os.environ.setdefault("TORCH_LOGS", "-all")
    # Importing PyTorch makes a million objects that stay. With Python's threshold of 700 they are
    # searched for garbage 20 times: 0.5 s before the first image is read.
    gc.set_threshold(GARBAGE_THRESHOLD)
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
        return 2


def _run_command(arguments: list[str]) -> int:
    """Run one command; return its exit status."""
    verbose = bool(VERBOSE & set(arguments))
    arguments = [argument for argument in arguments if argument not in VERBOSE]
    verb = next(iter(arguments), "")
    app = build_app(verb, every_option=HELP_ALL in arguments)
    tokens = ["--help" if argument == HELP_ALL else argument for argument in arguments]
    try:
        if "" in tokens:
            raise ArgumentError("an argument is empty; is a variable of the shell not set?")
        result = app(tokens, exit_on_error=False, print_error=False, result_action="return_value")
        text = None if result is None else str(result)
    except CycloptsError as error:
        _print_error(describe_mistake(arguments, error))
        return 2
    except BestiaryError as error:
        if verbose:
            traceback.print_exc()
        _print_error(describe_swapped(arguments) or str(error).rstrip("."))
        return 2
    except KeyboardInterrupt as stop:
        return 128 + getattr(stop, "number", signal.SIGINT)
    if text is not None:
        print(text)
    return int(getattr(result, "exit_code", 0))


def run() -> None:
    """Run the `bestiary` command: its entry point."""
    occupy_closed_descriptors()
    sys.excepthook = _report_defect
    threading.excepthook = _report_thread_failure
    sys.exit(main())


def _print_error(message: str) -> None:
    """Print an error on one line of standard error."""
    print(f"bestiary: {printable_name(message)}", file=sys.stderr)


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
