"""The server as a process: signals, slow and lost clients, token, address, wrong options."""

import asyncio
import http.client
import json
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.run.run import Run
from bestiary.serving import protocol
from bestiary.serving.application import build_application
from bestiary.serving.server import STOPPING, Address, read_token, serve

TOKEN = "a-token-of-some-length"


def ask(
    port: int, path: str, body: bytes | None = None, headers: dict[str, str] | None = None
) -> tuple[int, Any]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=300)
    try:
        connection.request("POST" if body is not None else "GET", path, body, headers or {})
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def opened(port: int, head: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", port), timeout=300)
    connection.sendall(head)
    return connection


def head_of(length: int) -> bytes:
    lines = [
        "POST /v1/predict HTTP/1.1",
        "Host: localhost",
        "Content-Type: image/jpeg",
        f"Content-Length: {length}",
    ]
    return "\r\n".join([*lines, "", ""]).encode()


def test_second_interrupt_ends_the_application() -> None:
    heard: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        while heard[-1:] != ["lifespan.shutdown"]:
            kind = (await receive())["type"]
            heard.append(kind)
            await send({"type": f"{kind}.complete"})

    def interrupt_twice() -> None:
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    listener = socket.create_server(("127.0.0.1", 0))
    serve(
        application,
        listener,
        1.0,
        lambda _: asyncio.get_running_loop().call_later(0.2, interrupt_twice),
        lambda: heard.append("stopping"),
    )
    assert heard == ["lifespan.startup", "stopping", "lifespan.shutdown"]


@pytest.mark.slow
def test_slow_and_lost_clients(trained: Run, serving: Callable[..., Any], image: bytes) -> None:
    with serving(trained, "--timeout", "2") as served:
        slow = opened(served.port, head_of(len(image)) + image[:100])  # and never more
        for _ in range(5):
            killed = opened(served.port, head_of(len(image)) + image[:-1])
            killed.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, bytes([1, 0, 0, 0, 0, 0, 0, 0]))
            killed.close()  # with a reset
            left = opened(served.port, head_of(len(image)) + image)
            left.close()  # before its answer
        large = opened(served.port, head_of(200_000_000))
        assert large.recv(9_999).startswith(b"HTTP/1.1 413")
        several = head_of(len(image)) + image
        for number in range(30):  # requests wait for the answer to the first, and nobody reads
            pipelined = opened(served.port, several * 6)
            if number % 2:
                pipelined.shutdown(socket.SHUT_RD)
            pipelined.close()
        assert ask(served.port, "/v1/predict", image)[0] == 200
        assert slow.recv(9_999).startswith(b"HTTP/1.1 408")
        slow.close()
        large.close()
        assert served.stop(signal.SIGINT) == 0
    assert served.stderr.splitlines()[-1] == STOPPING, served.stderr


def test_connection_timeout_outside_body(
    ensemble: Ensemble, running: Callable[..., Any], image: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(protocol, "CONNECTION_TIMEOUT", 0.3)
    with running(build_application(ensemble)) as url:
        port = int(url.split(":")[2].strip("/"))
        with opened(port, head_of(9)[:30]) as silent:
            assert silent.recv(99) == b""
        with opened(port, head_of(10**9)) as endless:
            assert endless.recv(9_999).startswith(b"HTTP/1.1 413")
            with pytest.raises(OSError, match=r"reset|pipe"):
                while True:
                    endless.sendall(bytes(1_000))
                    time.sleep(0.01)
        with opened(port, head_of(len(image)) + image[:500]) as late:
            time.sleep(0.5)  # a body has the time limit of the application
            late.sendall(image[500:])
            assert late.recv(9_999).startswith(b"HTTP/1.1 200")


def test_missing_fastapi_is_named() -> None:
    code = """
import sys
sys.modules["fastapi"] = None
from bestiary.cli import main
sys.exit(main(["serve", "x"]))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert (
        done.stderr == "bestiary: serve: fastapi is not installed; pip install 'bestiary[serve]'\n"
    )


@pytest.mark.slow
def test_sigterm_finishes_requests(trained: Run, serving: Callable[..., Any], image: bytes) -> None:
    with serving(trained, "--timeout", "300", BESTIARY_TOKEN=TOKEN) as served:
        assert ask(served.port, "/v1/predict", image)[0] == 401
        token = {"Authorization": f"Bearer {TOKEN}"}
        assert ask(served.port, "/v1/predict", image, token)[0] == 200
        assert ask(served.port, "/v1/explain", image, token)[1]["similar"]
        assert ask(served.port, "/healthz", headers={"Host": "evil.example"})[0] == 421
        head = head_of(len(image)).replace(
            b"Host", f"Authorization: Bearer {TOKEN}\r\nHost".encode()
        )
        half = opened(served.port, head + image[:500])
        idle = opened(served.port, b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert idle.recv(9_999).startswith(b"HTTP/1.1 200")
        status: list[int] = []
        stopping = threading.Thread(target=lambda: status.append(served.stop(signal.SIGTERM)))
        stopping.start()
        while True:  # until the server takes no more connections
            try:
                socket.create_connection(("127.0.0.1", served.port), timeout=5).close()
                time.sleep(0.02)
            except OSError:
                break
        half.sendall(image[500:])
        answer = b""
        while part := half.recv(99_999):  # until the server closes the connection
            answer += part
        assert answer.startswith(b"HTTP/1.1 200") and b"predictions" in answer
        stopping.join(300)
        assert status == [0]
        half.close()
        idle.close()
    assert TOKEN not in served.stderr and "Traceback" not in served.stderr, served.stderr


def test_read_token_refuses_weak_tokens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("BESTIARY_TOKEN", raising=False)
    assert read_token(None) is None
    monkeypatch.setenv("BESTIARY_TOKEN", TOKEN)
    assert read_token(None) == TOKEN
    file = tmp_path / "token"
    for content in (
        b"",
        b"short\n",
        b"a token with some spaces in it",
        "längere-als-sechzehn".encode(),
        b"\xff" * 20,
    ):
        file.write_bytes(content)
        with pytest.raises(ArgumentError, match="--token-file"):
            read_token(file)
    file.write_text(TOKEN + "-2\n")
    assert read_token(file) == TOKEN + "-2"
    with pytest.raises(ArgumentError, match="No such file"):
        read_token(tmp_path / "none")


def test_address_bind_and_names() -> None:
    assert Address().is_loopback and Address("::1").is_loopback and Address("localhost").is_loopback
    assert not Address("0.0.0.0").is_loopback and Address("0.0.0.0").names is None
    assert "localhost" in (Address().names or ())
    with Address(port=0).bind() as listener:
        listener.listen()
        port = listener.getsockname()[1]
        with pytest.raises(ArgumentError, match=str(port)):
            Address(port=port).bind()
    with pytest.raises(ArgumentError, match="70000"):
        Address(port=70_000)
    for wrong in (Address("nowhere.invalid"), Address("203.0.113.7")):
        with pytest.raises(ArgumentError, match="cannot be listened on"):
            wrong.bind()


def test_wrong_options_get_one_line(
    trained: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    assert "no such run" in fails("serve", tmp_path / "none")
    assert "--max-mb 0: choose above 0" in fails("serve", trained.path, "--max-mb", "0")
    assert "none" in fails("serve", trained.path, "--token-file", tmp_path / "none")
    assert "203.0.113.7" in fails(
        "serve", trained.path, "--host", "203.0.113.7", "--engine", "torch", "--quiet"
    )
