"""An exported ONNX file -> a static folder: a page that classifies images where it is opened.

Any static host serves it, and it opens from a USB stick. A page from a disk may load scripts and
nothing else. So the big files are scripts that define one text each, gzip in Base64. The page is
that of `bestiary serve`; a worker with ONNX Runtime takes the place of the server. Knows nothing of
runs.
"""

import base64
import gzip
import hashlib
import json
from importlib.resources import files
from pathlib import Path
from typing import Any

from bestiary.atomic import atomic_path
from bestiary.display import Display
from bestiary.exporting.result import ExportResult
from bestiary.exporting.web_runtime import WebRuntime, read_web_runtime
from bestiary.pages import (
    ICON,
    images_page,
    images_script,
    images_style,
    page_icon,
    page_script,
    page_style,
)

# Parts of the worker, in their order.
WORKER = ("resize.js", "png.js", "decode.js", "answer.js", "worker.js")
PAGE = "index.html"
MAX_IMAGE_BYTES = 200_000_000
WITHOUT_SCRIPTS = "The networks are in this page, and run by it."
# Nothing is fetched from elsewhere, whatever a file may say. The worker and the runtime are texts
# of the page (blob:); `file:` is for a page that is opened from a disk.
POLICY = (
    "default-src 'none'; script-src 'self' file: blob: 'wasm-unsafe-eval'; style-src 'self' file:; "
    "img-src 'self' file: blob: data:; connect-src 'self' blob: data:; worker-src 'self' blob:; "
    "manifest-src 'self'; base-uri 'none'; form-action 'none'"
)
SCRIPTS = f"""<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<link rel="manifest" href="manifest.webmanifest">
<script src="card.js" defer></script>
<script src="answering.js" defer></script>"""
README = """This folder is a page that says what is in an image. It needs no connection.

Open index.html in a browser. Or put the folder on any web host; then phones can keep it too.
Or run, in this folder, and open http://localhost:8000/ :

    python -m http.server

licenses/ has the notices of the software inside; card.json says how the networks were made.
"""


def web_page(file: Path, folder: Path, exported: ExportResult, name: str, display: Display) -> None:
    """Build the page in `folder`.

    Args:
        file: the ONNX file.
        folder: the folder, empty.
        exported: the file's card.
        name: name of the run, which the page is called by.
        display: says what is fetched for it, and how to open it.

    Raises:
        BestiaryError: the runtime cannot be had.
    """
    runtime = read_web_runtime(display)
    contents = _plain_files(exported.card, runtime)
    contents["wasm.js"] = _part("wasm", runtime.wasm)
    contents["model.js"] = _part("model", file.read_bytes())
    megabytes = sum(len(text.encode()) for text in contents.values()) / 1e6
    contents["card.js"] = _card_script(exported.card, runtime, name, megabytes)
    contents["offline.js"] = _offline_script(contents)
    for path, text in contents.items():
        with atomic_path(folder / path) as temporary:
            temporary.write_text(text, encoding="utf-8")
    display.line("Open index.html in it, or put the folder on any web host")


def _plain_files(card: dict[str, Any], runtime: WebRuntime) -> dict[str, str]:
    """Name -> text of the files that are the same for all runs, and the card."""
    notices = {f"licenses/{name}": text for name, text in runtime.notices.items()}
    return {
        PAGE: images_page(_read("footer.html"), WITHOUT_SCRIPTS, SCRIPTS),
        "base.css": page_style(),
        "base.js": page_script(),
        "page.css": images_style(),
        "page.js": images_script(),
        ICON: page_icon(),
        "answering.js": _read("answering.js"),
        "card.json": json.dumps(card, indent=1, ensure_ascii=False),
        "README.txt": README,
        "manifest.webmanifest": json.dumps(_manifest()),
        **notices,
    }


def _manifest() -> dict[str, Any]:
    """What a phone needs to keep the page as an app (W3C, Web Application Manifest)."""
    return {
        "name": "What is in your image?",
        "short_name": "bestiary",
        "start_url": PAGE,
        "display": "standalone",
        "icons": [{"src": ICON, "sizes": "any", "type": "image/svg+xml"}],
    }


def _card_script(card: dict[str, Any], runtime: WebRuntime, name: str, megabytes: float) -> str:
    """Define `parts`: the card, what the page says of the networks, and the texts of the worker."""
    parts = {
        "card": card,
        "about": _about(card, name),
        "sizes": {"total": round(megabytes, 1)},
        "runtime": runtime.script,
        "worker": "\n".join(map(_read, WORKER)),
    }
    return f"globalThis.parts = {json.dumps(parts)};\n"


def _about(card: dict[str, Any], name: str) -> dict[str, Any]:
    """What `serve` answers at /v1/model, of a page that is its own server."""
    accuracy = card["out_of_fold"]
    score = None
    if accuracy:
        score = {
            "accuracy": accuracy["value"],
            "low": accuracy["low"],
            "high": accuracy["high"],
            "images": accuracy["n"],
        }
    return {
        "name": name,
        "backbone": card["backbone"],
        "members": len(card["members"]),
        "engine": f"this browser, in {card['precision']}",
        "classes": len(card["classes"]),
        "score": score,
        "report": False,
        "limits": {"bytes": MAX_IMAGE_BYTES},
    }


def _part(name: str, content: bytes) -> str:
    """A script that defines one part, gzip in Base64."""
    packed = base64.b64encode(gzip.compress(content, 9, mtime=0)).decode()
    return f'parts.{name} = "{packed}";\n'


def _offline_script(contents: dict[str, str]) -> str:
    """The service worker. It keeps all files but the notices; a changed file is a new version."""
    names = [name for name in contents if not name.startswith("licenses/")]
    digest = hashlib.sha256()
    for text in contents.values():
        digest.update(text.encode())
    script = _read("offline.js").replace("/*version*/", digest.hexdigest()[:16])
    return script.replace("/*files*/[]", json.dumps(["./", *names]))


def _read(name: str) -> str:
    return (files(__name__.rpartition(".")[0]) / "web" / name).read_text(encoding="utf-8")
