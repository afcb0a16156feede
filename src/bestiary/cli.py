"""The command line: parses arguments, calls the verbs of api/, prints results and errors."""

import atexit
import gc
import inspect
import os
import signal
import sys
import textwrap
import threading
import traceback
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module
from types import TracebackType
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from bestiary import __version__
from bestiary.display import make_console
from bestiary.errors import ArgumentError, BestiaryError, one_line
from bestiary.printable import printable, printable_name
from bestiary.renamed import OPTIONS
from bestiary.streams import SafeStream, guarded_streams, occupy_closed_descriptors

VERBS = (
    "sample",
    "scan",
    "shard",
    "probe",
    "train",
    "advise",
    "ablate",
    "predict",
    "serve",
    "evaluate",
    "labels",
    "curve",
    "next",
    "drift",
    "report",
    "compare",
    "show",
    "export",
    "distill",
    "demo",
)
"""The commands. Each is the function of its name in ``bestiary.api``."""
HELP_WIDTH = 80
LOST_READER_STATUS = 141  # what a shell reports of a program that ended by SIGPIPE


def build_app(verb: str = "") -> App:
    """Build the application.

    Args:
        verb: the verb to run, whose help is complete.
    """
    app = App(
        name="bestiary",
        help="From a folder of labeled images to an honest, deployable classifier.",
        help_epilogue="Start with: bestiary demo. Help for a verb: bestiary VERB --help.",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=_format_default),
        suppress_keyboard_interrupt=False,
        help_format="plaintext",
        console=make_console("stdout"),
    )
    for name in VERBS:
        epilogue = _recipe_help() if name == verb == "train" else None
        app.command(_command(name), name=name, help_epilogue=epilogue)
    return app


def _command(name: str) -> Callable[..., Any]:
    """Make the command of a verb.

    It has no return annotation, which names a type that only type checkers import.
    """
    function: Callable[..., Any] = getattr(import_module(f"bestiary.api.{name}"), name)

    @wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    hints = function.__annotations__.items()
    command.__annotations__ = {key: hint for key, hint in hints if key != "return"}
    command.__doc__ = _help_text(function.__doc__ or "")
    return command


def _help_text(docstring: str) -> str:
    """Turn a verb's docstring into help: no examples, and one line for each paragraph.

    cyclopts keeps line breaks. Without them, it wraps the text to the terminal.
    """
    text = inspect.cleandoc(docstring).partition("\nExamples\n")[0]
    lines: list[str] = []
    for line in text.splitlines():
        previous = lines[-1] if lines else ""
        if _is_text(line) and _is_text(previous) and _indentation(line) == _indentation(previous):
            lines[-1] = f"{previous} {line.strip()}"
        else:
            lines.append(line)
    return "\n".join(lines)


def _is_text(line: str) -> bool:
    """Whether a line is neither empty nor the underline of a section."""
    return bool(line.strip("- "))


def _indentation(line: str) -> int:
    return len(line) - len(line.lstrip())


def _format_default(value: object) -> str | None:
    """Format a default for the help; no text for a switch that is off or an option without one."""
    return None if value is None or value is False or value == () else str(value)


def _recipe_help() -> str:
    """List the options of the recipe with their defaults."""
    from bestiary.recipe.options import options

    indent = " " * 6
    lines = ["Options of the recipe, for --set and TOML files, with their defaults:"]
    for option in options():
        lines.append(f"  {option.name} = {option.default}")
        lines += textwrap.wrap(
            option.description,
            HELP_WIDTH,
            initial_indent=indent,
            subsequent_indent=indent,
        )
    return "\n".join(lines)


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
    app = build_app(next(iter(arguments), ""))
    try:
        if "" in arguments:
            raise ArgumentError("an argument is empty; is a variable of the shell not set?")
        result = app(
            arguments,
            exit_on_error=False,
            print_error=False,
            result_action="return_value",
        )
        text = None if result is None else str(result)
    except CycloptsError as error:
        # A message of cyclopts may have several lines.
        line = _describe_renamed(arguments) or " ".join(str(error).split()).rstrip(".")
        _print_error(f"{line}; see bestiary {' '.join(arguments[:1])} --help")
        return 2
    except BestiaryError as error:
        _print_error(str(error).rstrip("."))
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


def _describe_renamed(arguments: Sequence[str]) -> str:
    """Say the new name of an old option; empty if there is none among the arguments."""
    names = (argument.partition("=")[0] for argument in arguments)
    old = next((name for name in names if name in OPTIONS), None)
    return f"{old} is called {OPTIONS[old]} now" if old else ""
