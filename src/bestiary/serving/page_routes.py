"""The page's files (HTML, CSS, JavaScript, icon) -> routes of the application.

The files are served as they lie in `page`: no build step, and nothing from other sites.
"""

from collections.abc import Awaitable, Callable
from importlib.resources import files

from fastapi import FastAPI, Response

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def add_page(app: FastAPI) -> None:
    """Add the routes of the page to an application.

    Args:
        app: the application.
    """
    folder = files("bestiary.serving") / "page"
    for path, (name, media_type) in FILES.items():
        content = folder.joinpath(name).read_bytes()
        endpoint = _file_endpoint(content, media_type)
        app.add_api_route(path, endpoint, methods=["GET"], include_in_schema=False)


def _file_endpoint(content: bytes, media_type: str) -> Callable[[], Awaitable[Response]]:
    async def send_file() -> Response:
        headers = {"Cache-Control": "no-cache"}
        return Response(content, media_type=media_type, headers=headers)

    return send_file
