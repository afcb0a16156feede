"""The command line: registers the verbs on the functions of api.py."""

import sys
import textwrap
from collections.abc import Callable, Sequence
from typing import Any

from cyclopts import App, CycloptsError, Parameter

from bestiary import __version__, api
from bestiary.errors import BestiaryError

VERBS: tuple[Callable[..., Any], ...] = (
    api.sample,
    api.scan,
    api.train,
    api.predict,
    api.evaluate,
    api.labels,
    api.report,
    api.compare,
    api.show,
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
    """Run one command; gives the exit status: 0, 1 where the verb says so, 2 for bad input, 130 when interrupted."""
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    app = build_app(next(iter(arguments), ""))
    try:
        result = app(arguments, exit_on_error=False, print_error=False, result_action="return_value")
    except CycloptsError as error:
        print(f"bestiary: {_one_line(error)}; see bestiary {' '.join(arguments[:1])} --help", file=sys.stderr)
        return 2
    except BestiaryError as error:
        print(f"bestiary: {_one_line(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 130
    if result is not None:
        print(result)
    return int(getattr(result, "exit_code", 0))


def run() -> None:
    """The entry point of the `bestiary` command."""
    sys.exit(main())


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".")
