"""A connection's limits: headers, trailers, pipelining, pages of other sites, HEAD, names."""

import http.client
import json
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from bestiary.ensemble.ensemble import Ensemble
from bestiary.serving.application import build_application
from bestiary.serving.protocol import MAX_HEADER_BYTES
from bestiary.serving.server import Address

Opened = Callable[[bytes], socket.socket]


@pytest.fixture
def port(ensemble: Ensemble, running: Callable[..., Any]) -> Iterator[int]:
    app = build_application(ensemble, hosts=Address(allowed=("proxy.example",)).names)
    with running(app) as url:
        yield int(url.split(":")[2].strip("/"))


@pytest.fixture
def opened(port: int) -> Iterator[Opened]:
    connections: list[socket.socket] = []

    def connect(content: bytes) -> socket.socket:
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        connections.append(connection)
        connection.sendall(content)
        return connection

    yield connect
    for connection in connections:
        connection.close()


def read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    try:
        while chunk := connection.recv(65_536):
            received += chunk
    except ConnectionResetError:
        pass
    return bytes(received)


def flood(connection: socket.socket, chunk: bytes, n_bytes: int = 50_000_000) -> int:
    """Send a chunk again and again; return the bytes that were sent before the end."""
    sent = 0
    try:
        while sent < n_bytes:
            connection.sendall(chunk)
            sent += len(chunk)
    except OSError:
        pass
    return sent


HEAD = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n"
CHUNKED = (
    b"POST /v1/predict HTTP/1.1\r\nHost: localhost\r\nContent-Type: image/jpeg\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


@pytest.mark.parametrize(
    ("start", "chunk"),
    [
        (HEAD, b"X-Header: " + b"v" * 1_000 + b"\r\n"),
        (HEAD, b"X:\r\n" * 1_000),
        (HEAD + b"X-Header: ", b"v" * 10_000),
        (HEAD, b"n" * 10_000),
        (b"GET /", b"p" * 10_000),
    ],
    ids=["lines", "short lines", "one value", "one name", "the path"],
)
def test_headers_are_bounded(opened: Opened, start: bytes, chunk: bytes) -> None:
    connection = opened(start)
    assert flood(connection, chunk) < 20_000_000
    answer = read_all(connection)
    assert not answer or answer.startswith((b"HTTP/1.1 431", b"HTTP/1.1 400"))


def test_trailers_are_bounded(opened: Opened) -> None:
    connection = opened(CHUNKED + b"1\r\nx\r\n0\r\n")
    assert flood(connection, b"X-Trailer: " + b"v" * 1_000 + b"\r\n") < 20_000_000


def test_headers_within_the_limit_are_taken(opened: Opened) -> None:
    filler = b"X-Filler: " + b"v" * (MAX_HEADER_BYTES - 1_000) + b"\r\n"
    connection = opened(HEAD + filler + b"Connection: close\r\n\r\n")
    assert read_all(connection).startswith(b"HTTP/1.1 200")


def test_many_requests_on_one_connection_are_no_long_head(opened: Opened) -> None:
    n_requests = MAX_HEADER_BYTES // len(HEAD) + 50
    connection = opened((HEAD + b"\r\n") * n_requests)
    connection.sendall(HEAD + b"Connection: close\r\n\r\n")
    assert read_all(connection).count(b"HTTP/1.1 200") == n_requests + 1


def test_dropped_pipelined_connections_write_no_traceback(
    opened: Opened, caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str], port: int
) -> None:
    for _ in range(30):
        connection = opened((HEAD + b"\r\n") * 40)
        linger = bytes([1, 0, 0, 0, 0, 0, 0, 0])
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        connection.close()  # with a reset
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(HEAD + b"Connection: close\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 200")
    assert "Traceback" not in capfd.readouterr().err
    assert "Traceback" not in caplog.text


def ask(port: int, method: str, path: str, headers: dict[str, str]) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    try:
        connection.request(method, path, b"x" if method == "POST" else None, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
    ],
)
def test_pages_of_other_sites_make_nothing_compute(port: int, headers: dict[str, str]) -> None:
    status, body = ask(port, "POST", "/v1/predict", {"Content-Type": "image/jpeg", **headers})
    assert status == 403 and json.loads(body)["code"] == "cross_site"
    # Links and images of other pages may still lead here.
    assert ask(port, "GET", "/healthz", headers)[0] == 200


def test_the_page_itself_and_programs_may_ask(port: int) -> None:
    for headers in (
        {},
        {"Origin": f"http://127.0.0.1:{port}", "Sec-Fetch-Site": "same-origin"},
        {"Sec-Fetch-Site": "none"},
    ):
        status, _ = ask(port, "POST", "/v1/predict", {"Content-Type": "image/jpeg", **headers})
        assert status == 415  # it is no image, but it was read


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/", "/v1/classes"])
def test_head_is_answered_as_get_without_a_body(port: int, path: str) -> None:
    status, body = ask(port, "HEAD", path, {})
    assert (status, body) == (200, b"")


def test_a_name_of_a_proxy_can_be_admitted(port: int) -> None:
    assert ask(port, "GET", "/healthz", {"Host": "PROXY.example"})[0] == 200
    assert ask(port, "GET", "/healthz", {"Host": "other.example"})[0] == 421
    assert Address("0.0.0.0").names is None
    own = {"localhost", "127.0.0.1", "::1"}
    assert Address("0.0.0.0", allowed=("A.example",)).names == {*own, "0.0.0.0", "a.example"}
