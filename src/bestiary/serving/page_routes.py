"""The page's files (HTML, CSS, JavaScript) and the run's report -> routes of the application.

The files are those of `bestiary.pages`, as they lie there, with the footer of a service: no build
step, and nothing from other sites.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files
from pathlib import Path

from fastapi import FastAPI, Response

from bestiary.pages import (
    ICON,
    images_page,
    images_script,
    images_style,
    page_icon,
    page_script,
    page_style,
)
from bestiary.regular_files import read_regular
from bestiary.serving.problems import Problem

STYLE = "text/css; charset=utf-8"
SCRIPT = "text/javascript; charset=utf-8"
PAGE = "text/html; charset=utf-8"
WITHOUT_SCRIPTS = (
    'Programs can use the interface described in <a href="openapi.json">openapi.json</a>.'
)
MAX_REPORT_BYTES = 64_000_000
REPORT_POLICY = (
    "sandbox allow-scripts allow-modals allow-downloads; default-src 'none'; img-src data:; "
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'"
)


def add_page(app: FastAPI) -> None:
    """Add the routes of the page to an application.

    Args:
        app: the application.
    """
    footer = (files("bestiary.serving") / "page" / "footer.html").read_text(encoding="utf-8")
    contents = {
        "/": (images_page(footer, WITHOUT_SCRIPTS), PAGE),
        "/page.css": (images_style(), STYLE),
        "/page.js": (images_script(), SCRIPT),
        "/base.css": (page_style(), STYLE),
        "/base.js": (page_script(), SCRIPT),
        f"/{ICON}": (page_icon(), "image/svg+xml"),
    }
    for path, (content, media_type) in contents.items():
        endpoint = _file_endpoint(content.encode(), media_type)
        app.add_api_route(path, endpoint, methods=["GET"], include_in_schema=False)


def add_report(app: FastAPI, report: Path) -> None:
    """Add the route of a run's report to an application.

    The run may come from a stranger. So its page is shown as one of no site: it reads and asks for
    nothing of this one.

    Args:
        app: the application.
        report: the file.
    """

    def read() -> Response:
        try:
            content = read_regular(report, MAX_REPORT_BYTES)
        except OSError:
            raise Problem(404, "not_found", "The report is not there any more.") from None
        headers = {"Cache-Control": "no-cache", "Content-Security-Policy": REPORT_POLICY}
        return Response(content, media_type="text/html; charset=utf-8", headers=headers)

    app.add_api_route("/report", read, methods=["GET"], include_in_schema=False)


def _file_endpoint(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def send_file() -> Response:
        headers = {"Cache-Control": "no-cache"}
        return Response(content, media_type=media_type, headers=headers)

    return send_file
