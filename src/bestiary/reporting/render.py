"""A template and what it shows -> an HTML page; every text is escaped unless the template says
otherwise.
"""

from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined


def render(template: str, **shown: Any) -> str:
    """The page that `template` (a file of `templates/`) makes of `shown`."""
    environment = Environment(
        loader=PackageLoader("bestiary.reporting"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template(template).render(shown)
