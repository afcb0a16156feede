"""What all pages share: one stylesheet and one script, as text to put into a page or to serve.

`base.css` has the colors of both themes, type, cards, tables, figures and the print layout.
`base.js` keeps the theme, marks the section in view, prints, copies, opens images and sorts tables.
Knows nothing of what a page shows.
"""

from functools import cache
from importlib.resources import files


@cache
def page_style() -> str:
    """Return the stylesheet of all pages."""
    return _read("base.css")


@cache
def page_script() -> str:
    """Return the script of all pages."""
    return _read("base.js")


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
