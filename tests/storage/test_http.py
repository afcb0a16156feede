"""Files over HTTP: what a server says is told apart from what it does not say."""

from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from bestiary.errors import DataError
from bestiary.storage import files
from bestiary.storage.files import StoredFile, StoredFolder

pytest.importorskip("aiohttp", reason="aiohttp is not installed")


class _Answers(BaseHTTPRequestHandler):
    """A server whose answer is the status that the path names."""

    def do_GET(self) -> None:
        self.send_response(int(self.path.rpartition("/")[2]))
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_HEAD = do_GET  # noqa: N815 - the name that http.server looks for

    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(files, "FIRST_WAIT", 0.001)
    with ThreadingHTTPServer(("127.0.0.1", 0), _Answers) as answering:
        Thread(target=answering.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{answering.server_port}"
        answering.shutdown()


@pytest.mark.parametrize(("status", "found"), [(200, True), (404, False), (403, False)])
def test_a_server_says_whether_a_file_is_there(server: str, status: int, found: bool) -> None:
    assert StoredFile(f"{server}/{status}").is_file() is found


@pytest.mark.parametrize("status", [500, 503])
def test_a_fault_is_no_answer(server: str, status: int) -> None:
    for look in (
        StoredFile(f"{server}/{status}").is_file,
        StoredFolder(f"{server}/{status}").is_dir,
    ):
        with pytest.raises(DataError, match=r"cannot be looked up .*; try again later"):
            look()


def test_no_server_is_no_answer(free_port: Callable[[], int], server: str) -> None:
    with pytest.raises(DataError, match="cannot be looked up"):
        StoredFile(f"http://127.0.0.1:{free_port()}/a.jpg").is_file()
