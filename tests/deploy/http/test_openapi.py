"""The service keeps to its own OpenAPI document: schemathesis looks for requests where it does not.

More of them by hand: ``SCHEMATHESIS_EXAMPLES=1000 pytest tests/deploy/http/test_openapi.py``.
"""

import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from bestiary.deploy.http import Address, Limits, build_application
from bestiary.ensemble import Ensemble

EXAMPLES = os.environ.get("SCHEMATHESIS_EXAMPLES", "20")
TOKEN = "a-token-of-some-length"
HOOKS = Path(__file__).parent / "schemathesis_hooks.py"


@pytest.fixture
def url(ensemble: Ensemble) -> Iterator[str]:
    """A service with a token."""
    app = build_application(ensemble, token=TOKEN, limits=Limits(body=300_000, count=4))
    with Address(port=0).bind() as bound:
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
        running = threading.Thread(target=server.run, args=([bound],))
        running.start()
        while not server.started:
            time.sleep(0.01)
        yield f"http://127.0.0.1:{bound.getsockname()[1]}"
        server.should_exit = True
        running.join()


def test_the_service_keeps_to_its_document(url: str, picture: bytes, tmp_path: Path) -> None:
    (tmp_path / "picture").write_bytes(picture)
    environment = {**os.environ, "PICTURE": str(tmp_path / "picture"), "SCHEMATHESIS_HOOKS": str(HOOKS)}
    command = [
        sys.executable,
        "-c",
        "from schemathesis.cli import schemathesis; schemathesis()",
        "run",
        f"{url}/openapi.json",
    ]
    options = ["--header", f"Authorization: Bearer {TOKEN}", "--max-examples", EXAMPLES, "--seed", "0", "--no-color"]
    done = subprocess.run(
        [*command, *options], capture_output=True, text=True, env=environment, cwd=tmp_path, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "No issues found" in done.stdout, done.stdout
