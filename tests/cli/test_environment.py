"""What a command sets for the libraries that it imports, and what it leaves to the user."""

import os
import platform
import subprocess
import sys

import pytest

from bestiary.cli.environment import set_defaults

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
        assert "GOMP_SPINCOUNT = '10000'" in log


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, {"TORCH_LOGS": "-all", "GOMP_SPINCOUNT": "10000"}),
        ({"GOMP_SPINCOUNT": "7"}, {"TORCH_LOGS": "-all", "GOMP_SPINCOUNT": "7"}),
        ({"OMP_WAIT_POLICY": "passive"}, {"TORCH_LOGS": "-all", "OMP_WAIT_POLICY": "passive"}),
        ({"TORCH_LOGS": ""}, {"TORCH_LOGS": "", "GOMP_SPINCOUNT": "10000"}),
    ],
)
def test_what_the_user_set_stays(given: dict[str, str], expected: dict[str, str]) -> None:
    set_defaults(given)
    assert given == expected
