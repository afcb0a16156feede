"""The application: the verbs of api/ as commands, in groups, each with its help and ``--json``."""

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from functools import wraps
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from bestiary.cli.help_text import help_text, more_options, usual_options
from bestiary.cli.number_options import with_checked_numbers
from bestiary.cli.verbs import GROUPS, usage, verb_function
from bestiary.cli.versions import versions
from bestiary.details import details_shown
from bestiary.display import make_console
from bestiary.errors import ArgumentError
from bestiary.ranks import is_first_rank
from bestiary.streams import stdout_as_stderr

START = """Try it: bestiary demo. With images of your own: bestiary probe IMAGES RUN.
Help for a verb: bestiary VERB --help.
Every verb takes -q (results and warnings alone) and -v (decisions and times)."""
QUIET = Parameter(name=["--quiet", "-q"])
JSON = Parameter(name="--json", help="Print one JSON document; progress goes to standard error.")
VERBOSE = Parameter(
    name=["--verbose", "-v"],
    count=True,
    show_default=False,
    help="Say what is decided and where time goes; -vv: also where an error comes from.",
)
ADDED = {
    "as_json": (False, Annotated[bool, JSON]),
    "quiet": (False, Annotated[bool, QUIET, Parameter(show=False)]),
    "verbose": (0, Annotated[int, VERBOSE]),
}
"""Options that every verb takes on the command line -> default and type."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a verb has returned.

    Attributes:
        verb: its name.
        result: of its function.
        as_json: whether it is to be printed as a JSON document.
    """

    verb: str
    result: Any
    as_json: bool


def build_app(verb: str = "", *, every_option: bool = False) -> App:
    """Build the application.

    Args:
        verb: the verb to run, whose help is complete.
        every_option: whether that help shows the rare options too, each with its whole text.
    """
    app = App(
        name="bestiary",
        help="From a folder of labeled images to an honest, deployable classifier.",
        help_epilogue=START,
        version=versions,
        default_parameter=Parameter(negative=(), show_default=_format_default),
        suppress_keyboard_interrupt=False,
        help_format="plaintext",
        console=make_console("stdout"),
    )
    groups = {title: Group(title, sort_key=number) for number, title in enumerate(GROUPS)}
    for title, verbs in GROUPS.items():
        for place, name in enumerate(verbs):
            short = not every_option and usual_options(name) is not None
            app.command(
                _command(name, short),
                name=name,
                group=groups[title],
                sort_key=place,
                usage=f"Usage: {usage(name)} [OPTIONS]",
                help_epilogue=more_options(name, short) if name == verb else None,
            )
    app.register_install_completion_command(
        help="Install completion for this shell.", group=groups["Help"]
    )
    app["--help"].group = app["--version"].group = groups["Help"]
    return app


def _command(name: str, short: bool) -> Callable[..., Any]:
    """Make the command of a verb.

    It has no return annotation, which names a type that only type checkers import.

    Args:
        name: of the verb.
        short: whether the help is to show the usual options alone.
    """
    function = verb_function(name)

    signature = inspect.signature(function)
    added = {key: one for key, one in ADDED.items() if key not in signature.parameters}

    @wraps(function)
    def command(*args: Any, **options: Any) -> Answer:
        common = {key: options.pop(key, default) for key, (default, _) in added.items()}
        as_json, verbose = bool(common["as_json"]), int(common["verbose"])
        if as_json:
            _refuse_endless(name, options)
        if verbose and (common | options).get("quiet"):
            raise ArgumentError("-q -v: one says less, the other more; leave one of them out")
        shown = details_shown(verbose if is_first_rank() else 0)
        with stdout_as_stderr() if as_json else nullcontext(), shown:
            return Answer(name, function(*args, **options), as_json)

    hints: dict[str, Any] = {**function.__annotations__}
    hints.pop("return", None)
    hints = {key: with_checked_numbers(hint) for key, hint in hints.items()}
    hints |= {key: hint for key, (_, hint) in added.items()}
    if "quiet" not in added:
        hints["quiet"] = Annotated[bool, QUIET]
    if short:
        for key in set(hints) - {*(usual_options(name) or ()), "as_json", "verbose"}:
            hint = hints[key]
            hints[key] = Annotated[hint, Parameter(show=False)]
    command.__annotations__ = hints
    command.__doc__ = help_text(function.__doc__ or "", short)
    more = [
        inspect.Parameter(key, inspect.Parameter.KEYWORD_ONLY, default=default)
        for key, (default, _) in added.items()
    ]
    parameters = [*signature.parameters.values(), *more]
    command.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return command


def _refuse_endless(verb: str, options: Mapping[str, Any]) -> None:
    """Refuse ``--json`` where a verb runs until it is stopped, and so has no document."""
    if verb == "serve":
        raise ArgumentError(
            "serve --json: runs until it is stopped, so it has no document; leave --json out, and "
            "ask its /v1/model"
        )
    if options.get("watch"):
        raise ArgumentError(
            "--watch --json: runs until it is stopped, so it has no document; leave one of them "
            "out, and read the rows as they come in OUT.partial"
        )


def _format_default(value: object) -> str | None:
    """Format a default for the help; no text for a switch that is off or an option without one."""
    return None if value is None or value is False or value == () else str(value)
