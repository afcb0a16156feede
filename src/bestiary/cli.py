"""The command line: registers the verbs on the functions of api/."""

import ast
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Sequence
from functools import wraps
from importlib import import_module, resources
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from bestiary import __version__
from bestiary.errors import ArgumentError, BestiaryError
from bestiary.renamed import OPTIONS

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
    "report",
    "compare",
    "show",
    "export",
    "distill",
    "demo",
)
"""The commands, in the order of the help; each is the function of its name in ``bestiary.api``."""


def build_app(verb: str = "") -> App:
    """Build the application.

    Args:
        verb: the verb that is asked for. Only its module is imported, and only its help is written
            in full.
    """
    app = App(
        name="bestiary",
        help="From a folder of labeled images to an honest, deployable classifier.",
        help_epilogue="Start with: bestiary demo. Help for a verb: bestiary VERB --help.",
        version=__version__,
        default_parameter=Parameter(negative=(), show_default=_default_shown),
        suppress_keyboard_interrupt=False,
        help_format="plaintext",
    )
    for name in VERBS:
        if name == verb:
            epilogue = _recipe_help() if verb == "train" else None
            app.command(_command_of(name), name=name, help_epilogue=epilogue)
        else:
            app.command(f"bestiary.api.{name}:{name}", name=name, help=_summary_of(name))
    return app


def _command_of(name: str) -> Callable[..., Any]:
    """The function of a verb, without its return annotation: it names a type that only type
    checkers import.
    """
    function: Callable[..., Any] = getattr(import_module(f"bestiary.api.{name}"), name)

    @wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    hints = function.__annotations__.items()
    command.__annotations__ = {key: hint for key, hint in hints if key != "return"}
    return command


def _summary_of(name: str) -> str:
    """The first line of a verb's docstring, read from its source: importing 17 modules takes too
    long.
    """
    source = resources.files("bestiary.api").joinpath(f"{name}.py").read_text(encoding="utf-8")
    functions = (node for node in ast.parse(source).body if isinstance(node, ast.FunctionDef))
    verb = next(function for function in functions if function.name == name)
    return (ast.get_docstring(verb) or "").partition("\n")[0]


def _default_shown(value: object) -> str | None:
    """The default as the help shows it; nothing for a switch that is off or a value that is not
    given.
    """
    return None if value is None or value is False or value == () else str(value)


def _recipe_help() -> str:
    from bestiary.recipe.options import options

    lines = []
    for option in options():
        text = textwrap.fill(
            option.description, 80, initial_indent=" " * 6, subsequent_indent=" " * 6
        )
        lines.append(f"  {option.name} = {option.default}\n{text}")
    return "Options of the recipe, for --set and TOML files, with their defaults:\n" + "\n".join(
        lines
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command.

    Returns:
        the exit status: 0, 1 where the verb says so, 2 for bad input, 128 and the signal's number
            when stopped.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    app = build_app(next(iter(arguments), ""))
    try:
        if "" in arguments:
            raise ArgumentError("an argument is empty; is a variable of the shell not set?")
        result = app(
            arguments, exit_on_error=False, print_error=False, result_action="return_value"
        )
        text = None if result is None else str(result)
    except CycloptsError as error:
        print(
            f"bestiary: {_one_line(error)}{_renamed(arguments)}; see bestiary "
            f"{' '.join(arguments[:1])} --help",
            file=sys.stderr,
        )
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
    """A thread that cannot write, as TensorBoard's on a full disk, tells whoever waits for it;
    no traceback as well.
    """
    if not isinstance(failure.exc_value, OSError):
        threading.__excepthook__(failure)


def _renamed(arguments: Sequence[str]) -> str:
    """What an option of an earlier version is called now, as half a line; empty where there is
    none.
    """
    names = (argument.partition("=")[0] for argument in arguments)
    old = next((name for name in names if name in OPTIONS), None)
    return f"; {old} is called {OPTIONS[old]} now" if old else ""


def _one_line(error: Exception) -> str:
    """The message on one line; what would steer a terminal, as a file's name may, is written
    out.
    """
    text = " ".join(str(error).split()).rstrip(".")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
