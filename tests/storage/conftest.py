"""Object stores on loopback: S3 with faults on demand, and one like Google Cloud Storage."""

import threading
import urllib.request
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import fsspec
import pytest
from gcp_storage_emulator.server import create_server
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server


class Faulty:
    """A WSGI application that wraps another and injects faults.

    Attributes:
        busy_every: one in so many answers is 503 SlowDown; 0: none.
        broken_every: one in so many bodies ends half-way; 0: none.
        is_dead: every answer is 503.
        dead_paths: how addresses end whose every answer is 503.
        n_requests: requests so far.
        n_faults: requests that were made to fail.
    """

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self.app = app
        self.busy_every = 0
        self.broken_every = 0
        self.is_dead = False
        self.dead_paths: tuple[str, ...] = ()
        self.n_requests = 0
        self.n_faults = 0

    def __call__(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        self.n_requests += 1
        is_busy = self.busy_every and self.n_requests % self.busy_every == 0
        is_dead = self.is_dead or environ["PATH_INFO"].endswith(self.dead_paths)
        if is_dead or is_busy:
            self.n_faults += 1
            start("503 Slow Down", [("Content-Type", "application/xml")])
            if environ["REQUEST_METHOD"] == "HEAD":
                return []
            return [
                b"<?xml version='1.0'?><Error><Code>SlowDown</Code><Message>Please reduce your "
                b"rate</Message></Error>"
            ]
        body = self.app(environ, start)
        is_read = environ["REQUEST_METHOD"] == "GET" and not environ.get("QUERY_STRING")
        if self.broken_every and is_read and self.n_requests % self.broken_every == 0:
            self.n_faults += 1
            content = b"".join(body)
            return [content[: len(content) // 2]]  # fewer bytes than Content-Length says
        return body


@pytest.fixture
def s3(monkeypatch: pytest.MonkeyPatch) -> Iterator[Faulty]:
    """An empty S3 bucket, faults off, at the address in the environment of the test."""
    faulty = Faulty(DomainDispatcherApplication(create_backend_app))
    server = make_server("127.0.0.1", 0, faulty, threaded=True)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    address = f"http://127.0.0.1:{server.server_port}"
    for name, value in {
        "AWS_ACCESS_KEY_ID": "a",
        "AWS_SECRET_ACCESS_KEY": "b",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": address,
        "AWS_MAX_ATTEMPTS": "1",  # botocore's own, which waits for seconds before it asks again
        "NO_PROXY": "127.0.0.1",
    }.items():
        monkeypatch.setenv(name, value)
    urllib.request.urlopen(
        urllib.request.Request(f"{address}/moto-api/reset", method="POST")
    ).close()
    files = fsspec.filesystem("s3", skip_instance_cache=True)
    type(files).clear_instance_cache()
    fsspec.filesystem("s3").mkdir("bucket")
    yield faulty
    type(files).clear_instance_cache()
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def gs(monkeypatch: pytest.MonkeyPatch, free_port: Callable[[], int]) -> Iterator[None]:
    """An empty bucket of a store with Google's protocol, except for gRPC."""
    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket="bucket")
    server.start()
    monkeypatch.setenv("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    for name in ("gs", "gcs"):
        monkeypatch.setitem(
            fsspec.config.conf, name, {"token": "anon", "endpoint_url": f"http://127.0.0.1:{port}"}
        )
    files = fsspec.get_filesystem_class("gs")
    files.clear_instance_cache()
    yield
    files.clear_instance_cache()
    server.stop()
