"""Jinja template + context -> HTML page; values are escaped unless the template marks them safe."""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


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
    )
    return environment.get_template(template).render(context)
