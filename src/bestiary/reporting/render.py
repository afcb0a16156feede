"""Jinja template + context -> HTML page; values are escaped unless the template marks them safe.

Control characters, which HTML and XML forbid, are shown as escapes.
"""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bestiary.printable import printable


def render(template: str, **context: Any) -> str:
    """Render a template as HTML.

    Args:
        template: a file name in `templates/`.
        context: the variables of the template; a missing one is an error.

    Returns:
        The page.
    """
    environment = Environment(
        loader=PackageLoader("bestiary.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        finalize=_show_controls,
    )
    return environment.get_template(template).render(context)


def _show_controls(value: Any) -> Any:
    """Escape the control characters of a text that is not HTML already."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
