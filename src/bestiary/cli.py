"""The command line: registers the verbs on the functions of api/."""

import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from bestiary import __version__, api
from bestiary.errors import ArgumentError, BestiaryError

VERBS: tuple[Callable[..., Any], ...] = (
    api.sample,
    api.scan,
    api.shard,
    api.probe,
    api.train,
    api.advise,
    api.ablate,
    api.predict,
    api.serve,
    api.evaluate,
    api.labels,
    api.report,
    api.compare,
    api.show,
    api.export,
    api.distill,
    api.demo,
)


def build_app(verb: str = "") -> App:
    """The application; `verb` is the one that is asked for, whose help may take longer to write."""
    app = App(
        name="bestiary",
        help="From a folder of labelled pictures to an honest, deployable classifier.",
        help_epilogue="Start with: bestiary demo. Help for a verb: bestiary VERB --help.",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=_default_shown),
        suppress_keyboard_interrupt=False,
        help_format="plaintext",
    )
    for function in VERBS:
        epilogue = _recipe_help() if function is api.train and verb == "train" else None
        app.command(function, help_epilogue=epilogue)
    return app


def _default_shown(value: object) -> str | None:
    """The default as the help shows it; nothing for a switch that is off or a value that is not given."""
    return None if value is None or value is False or value == () else str(value)


def _recipe_help() -> str:
    from bestiary.recipe import options

    lines = []
    for option in options():
        text = textwrap.fill(option.description, 80, initial_indent=" " * 6, subsequent_indent=" " * 6)
        lines.append(f"  {option.name} = {option.default}\n{text}")
    return "Options of the recipe, for --set and TOML files, with their defaults:\n" + "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        the exit status: 0, 1 where the verb says so, 2 for bad input, 128 and the signal's number when stopped.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    app = build_app(next(iter(arguments), ""))
    try:
        if "" in arguments:
            raise ArgumentError("an argument is empty; is a variable of the shell not set?")
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
        text = None if result is None else str(result)
    except CycloptsError as error:
        print(f"bestiary: {_one_line(error)}; see bestiary {' '.join(arguments[:1])} --help", file=sys.stderr)
        return 2
    except BestiaryError as error:
        print(f"bestiary: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        return 128 + getattr(stop, "number", signal.SIGINT)
    if text is not None:
        print(text)
    return int(getattr(result, "exit_code", 0))


def run() -> None:
    """The entry point of the `bestiary` command."""
    threading.excepthook = _thread_failed
    sys.exit(main())


def _thread_failed(failure: threading.ExceptHookArgs) -> None:
    """A thread that cannot write, as TensorBoard's on a full disk, tells whoever waits for it; no traceback as well."""
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


def _one_line(error: Exception) -> str:
    """The message on one line; what would steer a terminal, as a file's name may, is written out."""
    text = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
