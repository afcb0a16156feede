"""The exported page in headless Chromium: it answers as the ensemble does, offline too."""

import functools
import subprocess
import threading
from base64 import b64decode
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import bestiary
from bestiary.data.eval_view import EvalView
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError
from bestiary.exporting import folders, web_runtime
from bestiary.exporting.export import ExportOptions
from bestiary.exporting.formats import read_card
from bestiary.exporting.result import ExportResult
from bestiary.exporting.web_page import web_page
from bestiary.run.run import Run
from harness.image_kinds import KINDS, write_kinds

FIELDS = "items.map(({name, answer, error}) => ({name, error, ...answer}))"


@pytest.fixture(scope="session")
def runtime() -> None:
    """Skips where npm cannot fetch the runtime."""
    try:
        web_runtime.read_web_runtime(Display(quiet=True))
    except BestiaryError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="module")
def folder(
    exported: dict[str, Path], runtime: None, tmp_path_factory: pytest.TempPathFactory
) -> Path:
    """A page with the members in float32."""
    made = tmp_path_factory.mktemp("page")
    card = read_card(exported["onnx"])
    web_page(exported["onnx"], made, ExportResult([], card), "small", Display(quiet=True))
    return made


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(folder: Path) -> Iterator[ThreadingHTTPServer]:
    handler = functools.partial(Quiet, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as started:
        thread = threading.Thread(target=started.serve_forever)
        thread.start()
        yield started
        started.shutdown()
        thread.join()


@pytest.fixture
def page(chromium: Any, server: ThreadingHTTPServer) -> Iterator[Any]:
    """The page. Any console message and any request to another site fails the test."""
    url = f"http://127.0.0.1:{server.server_port}/"
    context = chromium.new_context(accept_downloads=True)
    opened = context.new_page()
    complaints: list[str] = []

    def note_foreign(request: Any) -> None:
        if not request.url.startswith((url, "blob:", "data:")):
            complaints.append(request.url)

    opened.on("console", lambda message: complaints.append(message.text))
    opened.on("pageerror", lambda error: complaints.append(str(error)))
    opened.on("request", note_foreign)
    opened.set_default_timeout(120_000)
    opened.goto(url)
    yield opened
    context.close()
    assert complaints == []


def ask(page: Any, *files: Path) -> list[dict[str, Any]]:
    page.set_input_files("#files", files)
    tally = f"{len(files)} of {len(files)} answered"
    page.locator("#tally").get_by_text(tally, exact=True).wait_for(state="attached")
    return list(page.evaluate(FIELDS))


@pytest.fixture(scope="module")
def kinds(images: list[Path], tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """40 files of every kind."""
    return write_kinds(images, tmp_path_factory.mktemp("kinds") / "kinds")


@pytest.mark.browser
def test_page_answers_as_predict(
    page: Any, kinds: list[Path], small: Run, ensemble: Ensemble, tmp_path: Path
) -> None:
    assert len(kinds) == len(KINDS) == 40
    found = ask(page, *kinds)
    table = tmp_path / "p.csv"
    bestiary.predict(small.path, kinds[0].parent, out=table, engine="torch", quiet=True)
    rows = {row["path"]: row for row in pl.read_csv(table).to_dicts()}
    exact = dict(zip([file.name for file in kinds], ensemble.predict_proba(kinds), strict=True))
    differing = []
    for answer in found:
        row = rows[answer["name"]]
        assert answer["error"] is None, answer
        gap = abs(answer["confidence"] - exact[answer["name"]].max())
        answer["prediction_set"] = "|".join(answer["prediction_set"])
        same = [answer[name] == row[name] for name in ("label", "accepted", "unknown")]
        if gap > 0.01 or not all(same):
            differing.append((answer, row, gap))
    assert differing == []


# The page's worker with another message handler: inputs of cards -> views of all files
VIEWS_OF = """inputs => new Promise(done => {
  const handler = `; onmessage = async ({data: {files, inputs}}) => {
    const views = [];
    for (card of inputs.map(input => ({input})))
      for (const file of files) views.push((await view(file)).toBase64());
    postMessage(views);
  };`;
  const worker = new Worker(URL.createObjectURL(new Blob([parts.worker, handler])));
  worker.onmessage = ({data}) => { worker.terminate(); done(data); };
  worker.postMessage({files: mine, inputs});
})"""
KEEP_FILES = """() => {
  const keep = event => { globalThis.mine = [...event.target.files]; };
  document.getElementById("files").onchange = keep;
}"""
VIEWS = [EvalView(224), EvalView(40, "crop", 0.87, "bicubic")]


@pytest.mark.browser
def test_views_are_those_of_the_card(page: Any, kinds: list[Path]) -> None:
    """Pixel by pixel, where the view is larger than the file and where it is smaller."""
    page.evaluate(KEEP_FILES)
    page.set_input_files("#files", kinds)
    inputs = [
        {
            "size": view.size,
            "resize": view.resize,
            "crop": view.crop,
            "enlarge": view.interpolation,
            "white": [65535, 1],
        }
        for view in VIEWS
    ]
    found = iter(page.evaluate(VIEWS_OF, inputs))
    for view in VIEWS:
        for file in kinds:
            want = view(view.decode(file.read_bytes()))
            got = np.frombuffer(b64decode(next(found)), np.uint8).reshape(want.shape)
            gap = np.abs(got.astype(int) - want)
            assert gap.mean() < 0.5 and gap.max() <= 6, (view, file.name, gap.mean(), gap.max())


@pytest.mark.browser
def test_page_works_without_its_server(
    page: Any,
    server: ThreadingHTTPServer,
    images: list[Path],
    violations: Callable[[Any], list[str]],
) -> None:
    (first,) = ask(page, images[0])
    page.evaluate("navigator.serviceWorker.ready.then(() => 0)")
    server.shutdown()
    server.socket.close()
    page.reload()
    (again,) = ask(page, images[0])
    assert again == first
    assert violations(page) == []


@pytest.mark.browser
def test_page_says_what_it_cannot_read(page: Any, images: list[Path], tmp_path: Path) -> None:
    Image.open(images[0]).save(tmp_path / "a.tif")
    (tmp_path / "b.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    (tmp_path / "c.jpg").write_text("no image")
    answers = ask(page, *sorted(tmp_path.iterdir()), images[0])
    words = ["do not read TIFF", "damaged", "no image that this browser reads"]
    for answer, word in zip(answers, words, strict=False):
        assert word in answer["error"]
    assert answers[3]["label"]  # the worker has gone on
    with page.expect_download() as download:
        page.locator("#csv").click()
    table = pl.read_csv(download.value.path())
    assert table.height == 4 and table["label"].null_count() == 3


@pytest.mark.browser
def test_page_opens_from_a_disk(chromium: Any, folder: Path, images: list[Path]) -> None:
    context = chromium.new_context()
    page = context.new_page()
    page.set_default_timeout(120_000)
    page.goto((folder / "index.html").as_uri())
    (answer,) = ask(page, images[0])
    assert answer["error"] is None and answer["label"]
    context.close()


@pytest.mark.slow
def test_web_is_int8_unless_refused(small: Run, runtime: None, tmp_path: Path) -> None:
    made = bestiary.export(small.path, tmp_path / "page", format="web", max_drop=1.0, quiet=True)
    assert made.card["precision"] == "int8" and str(tmp_path / "page") in str(made)
    assert {file.name for file in made.files} >= {"index.html", "model.js", "third-party.txt"}
    assert all(file.is_file() for file in made.files)


def test_float32_where_int8_costs_too_much(
    small: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    asked = []

    def write(
        run: Run, file: Path, format: str, options: ExportOptions, display: Display
    ) -> ExportResult:
        asked.append(options.int8)
        if options.int8:
            raise BestiaryError("--int8: accuracy falls by 9.00 points")
        return ExportResult([file], {"precision": "float32"})

    built = folders.FolderFormat(lambda *_: None, prefers_int8=True)
    monkeypatch.setattr(folders, "export_run", write)
    monkeypatch.setitem(folders.FOLDER_FORMATS, "web", built)
    bestiary.export(small.path, tmp_path / "page", format="web")
    assert asked == [True, False]
    assert "stay in float32" in capsys.readouterr().err


def test_folder_that_exists_is_refused(
    small: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    for format in folders.FOLDER_FORMATS:
        line = fails("export", small.path, tmp_path, "--format", format)
        assert "exists already" in line
    assert not list(tmp_path.iterdir())


def test_missing_runtime_names_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path))
    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: None)
    with pytest.raises(BestiaryError, match=r"npm is not installed.*put the onnxruntime-web"):
        web_runtime.read_web_runtime(Display(quiet=True))


def test_other_runtime_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path))
    monkeypatch.setattr(web_runtime.shutil, "which", lambda name: "npm")

    def pack(command: list[str], cwd: str, **_: object) -> None:
        (Path(cwd) / f"onnxruntime-web-{web_runtime.VERSION}.tgz").write_bytes(b"other")

    monkeypatch.setattr(subprocess, "run", pack)
    with pytest.raises(BestiaryError, match="other bytes"):
        web_runtime.read_web_runtime(Display(quiet=True))
    assert not list((tmp_path / "npm").glob("*.tgz"))
