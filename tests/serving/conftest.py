"""Fixtures: the service of a small run, in this process and in a process of its own."""

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from starlette.testclient import TestClient

from bestiary.ensemble.ensemble import Ensemble
from bestiary.run.run import Run
from bestiary.serving.application import build_application
from bestiary.serving.limits import Limits
from bestiary.serving.protocol import BoundedProtocol
from bestiary.serving.server import Address

START_TIMEOUT = 120.0  # seconds; the machine may be busy


@pytest.fixture(scope="session")
def ensemble(trained: Run) -> Ensemble:
    return Ensemble.load(trained, engine="torch")


@pytest.fixture(scope="session")
def client(ensemble: Ensemble) -> Iterator[TestClient]:
    """A service with small limits."""
    limits = Limits(
        max_body_bytes=300_000,
        max_pixels=1_000_000,
        max_images=4,
        timeout_seconds=300.0,
        max_waiting=8,
    )
    with TestClient(build_application(ensemble, limits=limits)) as test_client:
        yield test_client


@pytest.fixture(scope="session")
def image(beasts: Path) -> bytes:
    return sorted(beasts.rglob("*.jpg"))[0].read_bytes()


class Served:
    """A running server.

    Attributes:
        process: the server.
        port: port that it listens on.
        stderr: what it wrote to standard error; complete once the server has stopped.
    """

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.stderr = ""
        assert process.stderr
        for line in process.stderr:
            self.stderr += line
            if " at http://" in line:
                self.port = int(line.split(" at http://")[1].split("/")[0].rpartition(":")[2])
                break
        else:
            raise AssertionError(f"the server did not start: {self.stderr}")
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stderr
        self.stderr += self.process.stderr.read()

    def stop(self, signal_number: int = signal.SIGTERM) -> int:
        """Send a signal and return the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(signal_number)
        status = self.process.wait(START_TIMEOUT)
        self._reader.join(START_TIMEOUT)
        return status


@pytest.fixture(scope="session")
def serving() -> Callable[..., Any]:
    """Start ``bestiary serve RUN --port 0 OPTIONS`` in a process of its own."""

    @contextmanager
    def start(run: Run, *options: str, **environment: str) -> Iterator[Served]:
        command = [
            sys.executable,
            "-m",
            "bestiary",
            "serve",
            str(run.path),
            "--port",
            "0",
            "--engine",
            "torch",
            *options,
        ]
        process = subprocess.Popen(
            command,
            stderr=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        watchdog = threading.Timer(2 * START_TIMEOUT, process.kill)
        watchdog.start()
        try:
            served = Served(process)
            yield served
            served.stop()
        finally:
            watchdog.cancel()
            process.kill()
            process.wait()
            assert process.stdout and process.stderr
            process.stdout.close()
            process.stderr.close()

    return start


@pytest.fixture(scope="session")
def running() -> Callable[..., Any]:
    """Serve an application from a thread of this process; gives its URL."""

    @contextmanager
    def start(app: Any) -> Iterator[str]:
        with Address(port=0).bind() as listener:
            server = uvicorn.Server(uvicorn.Config(app, http=BoundedProtocol, log_level="error"))
            thread = threading.Thread(target=server.run, args=([listener],))
            thread.start()
            while not server.started:
                time.sleep(0.01)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}/"
            server.should_exit = True
            thread.join()

    return start
