"""The application: the verbs of api/ as commands, in groups, each with its help."""

from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

from cyclopts import App, Group, Parameter

from bestiary.cli.help_text import help_text, more_options, usual_options
from bestiary.cli.verbs import GROUPS, usage, verb_function
from bestiary.cli.versions import versions
from bestiary.display import make_console

START = "Start with: bestiary demo. Help for a verb: bestiary VERB --help."
QUIET = Parameter(name=["--quiet", "-q"])


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

    @wraps(function)
    def command(*args: Any, **options: Any) -> Any:
        return function(*args, **options)

    hints: dict[str, Any] = dict(function.__annotations__)
    hints.pop("return", None)
    if "quiet" in hints:
        hints["quiet"] = Annotated[bool, QUIET]
    if short:
        for key in set(hints) - set(usual_options(name) or ()):
            hint = hints[key]
            hints[key] = Annotated[hint, Parameter(show=False)]
    command.__annotations__ = hints
    command.__doc__ = help_text(function.__doc__ or "", short)
    return command


def _format_default(value: object) -> str | None:
    """Format a default for the help; no text for a switch that is off or an option without one."""
    return None if value is None or value is False or value == () else str(value)
