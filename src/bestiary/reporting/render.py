"""Jinja template + context -> HTML page; values are escaped unless the template marks them safe.

Control characters, which HTML and XML forbid, are shown as escapes. Every template knows the
formats of `bestiary.numbers`, the version, and the stylesheet and script of all pages; `base.html`
is the frame that a page extends.
"""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from bestiary import numbers
from bestiary.pages import page_script, page_style
from bestiary.printable import printable
from bestiary.version import VERSION


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
    environment.globals |= {
        "version": VERSION,
        "page_style": page_style,
        "page_script": page_script,
        "percent": numbers.percent,
        "percent_range": numbers.percent_range,
        "points": numbers.points,
        "points_range": numbers.points_range,
        "count": numbers.count,
        "plain_name": numbers.plain_name,
    }
    return environment.get_template(template).render(context)


def _show_controls(value: Any) -> Any:
    """Escape the control characters of a text that is not HTML already."""
    return printable(value) if isinstance(value, str) and not isinstance(value, Markup) else value
