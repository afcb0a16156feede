"""Claim: an exported page answers as `predict` does, soon, offline, and without growth of memory.

Exports RUN as a page (--format web), or takes one that is there, serves it by `http.server` and
opens it in Chromium, which may reach nothing else. Bars: 40 images of every kind (EXIF 1 to 8,
alpha, gray, 16 bits, CMYK ...) get the label of `predict`, and its confidence within 0.01; the
first answer comes within 5 s of opening, later ones within 1 s; the renderer's memory after 500
images is within a tenth of that after 100; axe finds nothing; and without its server the page still
answers.

Where other programs run too, CPU seconds say more than seconds: those of all processes of the
browser are printed as well.

    python benchmarks/reliability/web.py RUN DATA [--page FOLDER] [--starts 5] [--many 500]
        [--shots DIR] [--answers-only]

Three things lie between a page and `predict`, and each is measured alone: the browser with its
decoders and WebAssembly (against the page's own file by ONNX Runtime, on the images as bestiary
prepares them), int8 (that file against the members in float32), and the precision of `predict`,
which is the fastest of the machine; where that is bf16, it is itself up to some hundredths from
float32.
"""

import argparse
import base64
import gzip
import os
import re
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import polars as pl
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import sync_playwright

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.export import build_graph
from bestiary.exporting.graph import run_graph

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.image_kinds import write_kinds
from harness.paired import machine, spread
from harness.record import record, recording

CLAIMS = {
    "web-labels": {
        "statement": "An exported page gives the labels of `predict` on 40 kinds of files",
        "unit": "of the labels equal",
        "bar": ("least", 1.0, "it is the same network"),
        "watches": ("@export", "@web"),
    },
    "web-confidence": {
        "statement": "The page's confidence is that of `predict`",
        "unit": "largest difference of a confidence",
        "bar": ("most", 0.01, "a percent is what is shown"),
        "watches": ("@export", "@web"),
    },
    "web-same-file": {
        "statement": "The page's confidence is that of the same file outside of a browser",
        "unit": "largest difference of a confidence",
        "bar": ("most", 0.01, "a percent is what is shown"),
        "watches": ("src/bestiary/exporting/*.py", "src/bestiary/exporting/web/*.js"),
    },
    "web-first-answer": {
        "statement": "The page's first answer comes soon after it is opened",
        "unit": "s",
        "bar": ("most", 5.0, "one waits for it"),
        "watches": ("@export", "@web"),
    },
    "web-later-answers": {
        "statement": "Later answers of the page come at once",
        "unit": "s",
        "bar": ("most", 1.0, "one image after the other"),
        "watches": ("@export", "@web"),
    },
    "web-memory": {
        "statement": "The page's memory does not grow with the images",
        "unit": "of the memory at first",
        "bar": ("most", 1.1, "a folder of images must not fill it"),
        "watches": ("@export", "@web"),
    },
    "web-accessibility": {
        "statement": "axe finds nothing on the page with its answers",
        "unit": "violations",
        "bar": ("most", 0, "everyone can use it"),
        "watches": ("@export", "@web"),
    },
}


FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
TICKS = os.sysconf("SC_CLK_TCK")
PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")
FIELDS = "items.map(({name, answer, error}) => ({name, error, ...answer}))"


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path)
    parser.add_argument("data", type=Path)
    parser.add_argument("--page", type=Path, help="a page that is there already")
    parser.add_argument("--case", default="float32", help="precision of the page, to record")
    parser.add_argument("--starts", type=int, default=5)
    parser.add_argument("--many", type=int, default=500)
    parser.add_argument("--shots", type=Path, help="folder for screenshots")
    parser.add_argument(
        "--answers-only", action="store_true", help="no times and no memory: the machine is busy"
    )
    args = parser.parse_args()
    print(machine())
    photographs = sorted(args.data.rglob("*.jpg"))
    with tempfile.TemporaryDirectory() as scratch:
        place = Path(scratch)
        page = (
            args.page
            or bestiary.export(args.run, place / "page", format="web", data=args.data).folder
        )
        megabytes = sum(file.stat().st_size for file in page.rglob("*") if file.is_file()) / 1e6
        print(f"page: {megabytes:.1f} MB")
        kinds = write_kinds(photographs[11 :: max(1, len(photographs) // 40)], place / "kinds")
        with serving(page) as (url, stop), sync_playwright() as driver:
            launch = partial(
                driver.chromium.launch, executable_path="/usr/bin/chromium", args=FLAGS
            )
            case = args.case
            if not args.answers_only:
                starts(launch, url, photographs, args.starts, case)
            browser = launch()
            context = browser.new_context(viewport={"width": 1280, "height": 900})
            opened = open_page(context, url)
            agreement(args.run, kinds, answers(opened, kinds), place, case, session_of(page))
            looks(opened, args.shots)
            if not args.answers_only:
                growth(browser, context, url, photographs[: args.many], case)
            stop()
            offline(context, url, photographs[0])
            browser.close()


@contextmanager
def serving(folder: Path) -> Iterator[tuple[str, Any]]:
    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    yield f"http://127.0.0.1:{server.server_port}/", stop


def open_page(context: Any, url: str) -> Any:
    """A new page. A request to another site ends the benchmark."""
    page = context.new_page()
    page.set_default_timeout(600_000)

    def check(request: Any) -> None:
        assert request.url.startswith((url, "blob:", "data:")), request.url

    page.on("request", check)
    page.on("pageerror", lambda error: print("error:", error))
    page.goto(url)
    return page


def answers(page: Any, files: list[Path]) -> list[dict[str, Any]]:
    page.set_input_files("#files", files)
    tally = f"{len(files)} of {len(files)} answered"
    page.locator("#tally").get_by_text(tally, exact=True).wait_for(state="attached")
    return list(page.evaluate(FIELDS))


def processes(root: int = os.getpid()) -> dict[int, str]:
    """Those of the browsers that this process has started: number -> command line."""
    parents, commands = {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            parents[int(folder.name)] = int(
                (folder / "stat").read_text().rpartition(")")[2].split()[1]
            )
            commands[int(folder.name)] = (folder / "cmdline").read_bytes().decode(errors="replace")
        except OSError:
            continue
    found = set()
    for number in parents:
        ancestor = number
        while ancestor in parents and ancestor != root:
            ancestor = parents[ancestor]
        if ancestor == root and "chromium" in commands[number]:
            found.add(number)
    return {number: commands[number] for number in found}


def cpu_seconds(numbers: set[int]) -> float:
    total = 0.0
    for number in numbers:
        try:
            fields = Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        total += (int(fields[11]) + int(fields[12])) / TICKS
    return total


def starts(launch: Any, url: str, photographs: list[Path], rounds: int, case: str) -> None:
    """Seconds to the first answer of a new browser, and to later ones."""
    cold, cold_cpu, warm, warm_cpu = [], [], [], []
    for number in range(rounds):
        before = set(processes())
        browser = launch()
        mine = set(processes()) - before
        context = browser.new_context()
        used = cpu_seconds(mine)
        began = time.perf_counter()
        page = open_page(context, url)
        answers(page, photographs[number : number + 1])
        cold.append(time.perf_counter() - began)
        mine = set(processes()) - before
        cold_cpu.append(cpu_seconds(mine) - used)
        for later in range(3):
            used = cpu_seconds(mine)
            began = time.perf_counter()
            place = (number + 100 * (later + 1)) % len(photographs)
            page.set_input_files("#files", photographs[place])
            page.locator("#tally").get_by_text(f"{later + 2} of {later + 2} answered").wait_for()
            warm.append(time.perf_counter() - began)
            warm_cpu.append(cpu_seconds(mine) - used)
        browser.close()
    details = {"s of a core": cold_cpu}
    record("web-first-answer", cold, rounds, "starts", case=case, details=details)
    details = {"s of a core": warm_cpu}
    record("web-later-answers", warm, len(warm), "images", case=case, details=details)
    print(f"first answer, s: {spread(cold)}; CPU seconds {spread(cold_cpu)} (n = {rounds})")
    print(f"later answers, s: {spread(warm)}; CPU seconds {spread(warm_cpu)} (n = {len(warm)})")


def session_of(page: Path) -> onnxruntime.InferenceSession:
    """The networks of a page, opened by ONNX Runtime for Python."""
    packed = re.search('"(.*)"', (page / "model.js").read_text())
    assert packed is not None
    return onnxruntime.InferenceSession(gzip.decompress(base64.b64decode(packed[1])))


def agreement(
    run: Path,
    files: list[Path],
    found: list[dict[str, Any]],
    place: Path,
    case: str,
    session: onnxruntime.InferenceSession,
) -> None:
    """Compare the page's answers with those of `predict`, of the same file, and of float32."""
    bestiary.predict(run, place / "kinds", out=place / "kinds.csv", quiet=True)
    rows = {row["path"]: row for row in pl.read_csv(place / "kinds.csv").to_dicts()}
    ensemble = Ensemble.load(run, device="cpu", engine="torch")
    graph = build_graph(ensemble, list(range(len(ensemble.folds))))
    shape = ensemble.input_view
    classes = ensemble.classes_.tolist()
    same = {"label": 0, "accepted": 0, "unknown": 0, "prediction_set": 0}
    gaps: dict[str, list[float]] = {"predict": [], "same file": [], "float32": [], "bf16": []}
    for file, answer in zip(files, found, strict=True):
        assert not answer.get("error"), answer
        row = rows[file.name]
        view = shape(shape.decode(file.read_bytes()))[None]
        label = classes.index(answer["label"])
        exact = run_graph(graph, view).probabilities[0]
        (by_file,) = session.run(["probabilities"], {"pixels": view})
        answer["prediction_set"] = "|".join(answer["prediction_set"])
        for name in same:
            same[name] += answer[name] == row[name]
        gaps["predict"].append(abs(answer["confidence"] - row["confidence"]))
        gaps["same file"].append(abs(answer["confidence"] - by_file[0, label]))
        gaps["float32"].append(abs(answer["confidence"] - exact[label]))
        gaps["bf16"].append(abs(row["confidence"] - exact.max()))
    n = len(files)
    record("web-labels", {name: of / n for name, of in same.items()}, n, "files", case=case)
    largest = {name: max(of) for name, of in gaps.items()}
    above = {name: sum(gap > 0.01 for gap in of) for name, of in gaps.items()}
    details = {
        "files above 0.01": above["predict"],
        "against the members in float32": largest["float32"],
        "of predict itself against float32": largest["bf16"],
        "of predict itself, files above 0.01": above["bf16"],
    }
    record("web-confidence", largest["predict"], n, "files", case=case, details=details)
    details = {"files above 0.01": above["same file"]}
    record("web-same-file", largest["same file"], n, "files", case=case, details=details)
    print(f"equal to predict, of {n}: {same}")
    for name, of in gaps.items():
        whose = "predict" if name == "bf16" else "page"
        other = "float32" if name == "bf16" else name
        print(
            f"{whose} against {other}: largest difference {largest[name]:.4f}, "
            f"{above[name]} above 0.01, median {np.median(of):.5f}"
        )


def looks(page: Any, shots: Path | None) -> None:
    found = Axe().run(page).response["violations"]
    record("web-accessibility", len(found), 1, "pages")
    print(f"axe: {len(found)} violations", [violation["id"] for violation in found])
    if shots is None:
        return
    shots.mkdir(parents=True, exist_ok=True)
    for width in (400, 1280):
        page.set_viewport_size({"width": width, "height": 900})
        page.screenshot(path=shots / f"answers-{width}.png", full_page=True)
    page.set_viewport_size({"width": 1280, "height": 900})


def growth(browser: Any, context: Any, url: str, photographs: list[Path], case: str) -> None:
    """Resident memory of the renderers after each hundred images."""
    page = open_page(context, url)
    page.set_input_files("#files", photographs)
    sizes = []
    for done in range(100, len(photographs) + 1, 100):
        page.wait_for_timeout(1)
        while int(page.locator("#tally").inner_text().split()[0]) < done:
            page.wait_for_timeout(500)
        renderers = [n for n, command in processes().items() if "--type=renderer" in command]
        sizes.append(max(resident_megabytes(number) for number in renderers))
    n = len(photographs)
    details = {"MB": {"first": sizes[0], "last": sizes[-1]}}
    record("web-memory", sizes[-1] / sizes[0], n, "images", case=case, details=details)
    print(f"renderer, MB after each 100 of {len(photographs)} images:", *map(round, sizes))
    page.close()


def resident_megabytes(number: int) -> float:
    return int(Path(f"/proc/{number}/statm").read_text().split()[1]) * PAGE_BYTES / 1e6


def offline(context: Any, url: str, photograph: Path) -> None:
    """Open the page again, now that its server is gone."""
    page = open_page(context, url)
    (answer,) = answers(page, [photograph])
    print(f"without the server: {answer['label']}, {answer['confidence']:.3f}")


if __name__ == "__main__":
    recording(main, __file__)
