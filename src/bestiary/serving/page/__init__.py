"""The page and the files it needs, as they lie beside this module: no build step, nothing from
elsewhere.
"""

from importlib.resources import files

from fastapi import FastAPI, Response

FILES = {
    "/": ("page.html", "text/html; charset=utf-8"),
    "/page.css": ("page.css", "text/css; charset=utf-8"),
    "/page.js": ("page.js", "text/javascript; charset=utf-8"),
    "/icon.svg": ("icon.svg", "image/svg+xml"),
}


def add_page(app: FastAPI) -> None:
    """Let `app` answer with the page."""
    for path, (name, kind) in FILES.items():
        content = files(__name__).joinpath(name).read_bytes()
        app.add_api_route(path, _answer(content, kind), methods=["GET"], include_in_schema=False)


def _answer(content: bytes, kind: str):  # type: ignore[no-untyped-def]
    async def answer() -> Response:
        return Response(content, media_type=kind, headers={"Cache-Control": "no-cache"})

    return answer
