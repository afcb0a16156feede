"""Environment variables: slips are refused, and a command sets what its libraries read."""

import os
import platform
import subprocess
import sys
from collections.abc import Callable

import pytest

from bestiary.cli.environment import PREFIX, VARIABLES, check_environment, set_defaults
from bestiary.errors import ArgumentError

PROGRAM = """
import sys; from bestiary.cli import main; main(['--help'])
import torch; torch.cuda.is_available = lambda: False
import torch.utils.cpp_extension
"""
SET_HERE = ("TORCH_LOGS", "GOMP_SPINCOUNT", "OMP_WAIT_POLICY")


def log_of_pytorch(**variables: str) -> str:
    """The standard error of a process that imports PyTorch after a command has begun."""
    outside = {key: value for key, value in os.environ.items() if key not in SET_HERE}
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={**outside, "CUDA_HOME": "/no-cuda", **variables},
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stderr


def test_log_of_pytorch_is_not_shown() -> None:
    """PyTorch warns of a folder of CUDA's tools without a GPU, where compilation is tried."""
    assert log_of_pytorch() == ""


def test_libraries_read_what_is_set() -> None:
    """Who asks for PyTorch's log gets it, and GNU OpenMP tells how long its threads spin."""
    log = log_of_pytorch(TORCH_LOGS="all", OMP_DISPLAY_ENV="verbose")
    assert "No CUDA runtime is found" in log
    if platform.system() == "Linux":
        assert "GOMP_SPINCOUNT = '30000'" in log


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"TORCH_LOGS": "-all", "GOMP_SPINCOUNT": "30000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"TORCH_LOGS": "-all", "GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "passive"}, {"TORCH_LOGS": "-all", "OMP_WAIT_POLICY": "passive"}),
        ({"TORCH_LOGS": ""}, {"TORCH_LOGS": "", "GOMP_SPINCOUNT": "30000"}),
    ],
)
def test_what_the_user_set_stays(given: dict[str, str], expected: dict[str, str]) -> None:
    set_defaults(given)
    assert given == expected


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("BESTIARY_TOKENS", "BESTIARY_TOKEN"),
        ("BESTIARY_TOKNE", "BESTIARY_TOKEN"),
        ("bestiary_token", "BESTIARY_TOKEN"),
        ("BESTIARY_CAHCE", "BESTIARY_CACHE"),
        ("BESTIARY_CACHE_DIR", "BESTIARY_CACHE"),
        ("BESTIARY_STATES", "BESTIARY_STATE"),
        ("BESTIARY_SHARD_CACHE", "BESTIARY_SHARD_CACHE_GB"),
    ],
)
def test_a_slip_is_refused(
    name: str, meant: str, monkeypatch: pytest.MonkeyPatch, fails: Callable[..., str]
) -> None:
    monkeypatch.setenv(name, "1")
    line = fails("options")
    assert line.startswith(f"bestiary: {name}: ") and f"did you mean {meant}?" in line


def test_names_of_others_pass() -> None:
    check_environment(PREFIX + name for name in VARIABLES)
    check_environment(["HOME", "TOKEN", "BESTIARY_RUN", "BESTIARY_NO_RECORD", "BESTIARY_", ""])
    with pytest.raises(ArgumentError):
        check_environment(["HOME", "BESTIARY_TOKENN"])
