"""What all pages share: one stylesheet and one script, as text to put into a page or to serve.

`base.css` has the colors of both themes, type, cards, tables, figures and the print layout.
`base.js` keeps the theme, marks the section in view, prints, copies, opens images and sorts tables.
`images.*` is the page that takes images and shows answers, of a service and of an exported page
alike: where the answers come from is said by a script that goes before it, or else a server is
asked. Knows nothing of what a page shows.
"""

from functools import cache
from importlib.resources import files

ICON = "icon.svg"


@cache
def page_style() -> str:
    """Return the stylesheet of all pages."""
    return _read("base.css")


@cache
def page_script() -> str:
    """Return the script of all pages."""
    return _read("base.js")


@cache
def page_icon() -> str:
    """Return the icon of all pages, as SVG."""
    return _read(ICON)


@cache
def images_style() -> str:
    """Return what the stylesheet of all pages lacks for the page that takes images."""
    return _read("images.css")


@cache
def images_script() -> str:
    """Return the script of the page that takes images."""
    return _read("images.js")


def images_page(footer: str, without: str, scripts: str = "") -> str:
    """Return the page that takes images, as HTML that names its files `base.css`, `page.js` ...

    Args:
        footer: HTML of the end of the page: what becomes of the images.
        without: what someone can do whose browser runs no JavaScript, as HTML.
        scripts: HTML that loads further scripts before `page.js`.
    """
    page = _read("images.html")
    for mark, content in (("scripts", scripts), ("without", without), ("footer", footer)):
        page = page.replace(f"<!-- {mark} -->", content)
    return page


def _read(name: str) -> str:
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
