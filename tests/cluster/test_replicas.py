"""Replicas on Ray Serve: they answer like the ensemble, and a lost one is replaced."""

import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

import bestiary
from bestiary.run.run import Run

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.filterwarnings("ignore"),  # Ray leaves files open
]


def test_replicas_answer_and_are_replaced(trained: Run, beasts: Path, tmp_path: Path) -> None:
    log = tmp_path / "log"
    serving = start_service(trained, log)
    try:
        url = wait_for_url(log, serving)
        image = next(beasts.rglob("*.jpg")).read_bytes()
        expected = bestiary.load(trained).predict_proba([image])[0]
        assert confidence(url, image) == pytest.approx(expected.max(), abs=1e-4)

        replicas = replica_processes()
        assert len(replicas) == 2
        replicas[0].kill()
        # Requests to the lost replica may fail; the service goes on.
        for _ in range(20):
            with suppress(urllib.error.HTTPError):
                assert confidence(url, image) == pytest.approx(expected.max(), abs=1e-4)
                break

        with pytest.raises(urllib.error.HTTPError) as refusal:
            confidence(url, b"no image")
        assert refusal.value.code == 415
    finally:
        serving.send_signal(signal.SIGTERM)
        exit_code = serving.wait(60)
    assert exit_code == 0, log.read_text()


def start_service(run: Run, log: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "bestiary", "serve", str(run.path)]
    command += ["--cluster", "ray", "--replicas", "2", "--port", "0"]
    environment = {**os.environ, "PYTHONUNBUFFERED": "1", "COLUMNS": "200"}
    with log.open("wb") as output:
        return subprocess.Popen(command, stdout=output, stderr=output, env=environment)


def replica_processes() -> list[psutil.Process]:
    return [
        process
        for process in psutil.process_iter(["cmdline"])
        if "ServeReplica" in " ".join(process.info["cmdline"] or [])
    ]


def wait_for_url(log: Path, serving: "subprocess.Popen[bytes]") -> str:
    for _ in range(1200):
        if match := re.search(r"at (http://\S+)", log.read_text()):
            return match[1]
        assert serving.poll() is None, log.read_text()
        time.sleep(0.1)
    raise AssertionError(log.read_text())


def confidence(url: str, content: bytes) -> float:
    """Ask for the confidence in the most probable class."""
    request = urllib.request.Request(f"{url}v1/predict", content, {"Content-Type": "image/jpeg"})
    with urllib.request.urlopen(request, timeout=60) as response:
        return float(json.load(response)["predictions"][0]["confidence"])


def test_replicas_option_is_checked(
    trained: Run, tmp_path: Path, fails: Callable[..., str]
) -> None:
    line = fails("serve", trained.path, "--replicas", 2)
    assert "--replicas 2: needs a cluster; add --cluster ray" in line
    line = fails("serve", trained.path, "--cluster", "ray", "--replicas", 0)
    assert "--replicas 0: choose 1 or more" in line
    assert "no such run" in fails("serve", tmp_path / "none", "--cluster", "ray")
