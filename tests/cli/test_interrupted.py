"""Ctrl-C at any moment of a command, also while Python imports: no traceback, status 130."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bestiary.run.run import Run

SCRIPT = """
import atexit, os, signal, sys

name = sys.argv.pop(1)

class Interrupt:
    def find_spec(self, module, *_):
        if module == name:
            os.kill(os.getpid(), signal.SIGINT)

signal.signal(signal.SIGINT, getattr(signal, sys.argv.pop(1)))
sys.meta_path.insert(0, Interrupt())
if name == "exit":
    atexit.register(os.kill, os.getpid(), signal.SIGINT)
from bestiary.__main__ import run
run()
"""
pytestmark = pytest.mark.skipif(os.name == "nt", reason="Windows has no signal to send itself")


def show(run: Run, module: str, handler: str) -> subprocess.CompletedProcess[str]:
    """Show a run in a process that gets Ctrl-C when it imports a module."""
    command = [sys.executable, "-c", SCRIPT, module, handler, "show", str(run.path)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    "module",
    [
        "bestiary.cli",
        "cyclopts",
        "bestiary.cli.mistakes",
        "bestiary.api.show",
        "polars",
        "polars._plr",
        "bestiary.evaluation.summary",
        "exit",
    ],
)
def test_ctrl_c_shows_no_traceback(trained: Run, module: str) -> None:
    ended = show(trained, module, "default_int_handler")
    assert ended.stderr == ""
    assert ended.returncode in (128 + signal.SIGINT, -signal.SIGINT)
    if module != "exit":
        assert ended.stdout == ""


@pytest.mark.parametrize("module", ["cyclopts", "exit"])
def test_ignored_ctrl_c_stays_ignored(trained: Run, tmp_path: Path, module: str) -> None:
    """A shell's job in the background, and one under nohup, begin so."""
    ended = show(trained, module, "SIG_IGN")
    assert ended.stderr == ""
    assert ended.returncode == 0
    assert "Out-of-fold accuracy" in ended.stdout
