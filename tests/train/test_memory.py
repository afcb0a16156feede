import platform
import resource
from pathlib import Path

import pytest
import torch

from bestiary.train.memory import memory_kept

CPU = torch.device("cpu")
glibc_alone = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory")


def _faults_of_steps(steps: int) -> int:
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        torch.ones(64, 1024, 256)  # 64 MB: beyond any threshold below which malloc keeps a block by itself
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


def _resident_megabytes() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6


@glibc_alone
def test_freed_memory_is_used_again() -> None:
    usual = _faults_of_steps(8)
    with memory_kept(CPU):
        _faults_of_steps(24)  # the heap grows until a free block fits each request
        assert _faults_of_steps(8) < usual / 10


@glibc_alone
def test_what_was_kept_is_given_back_at_the_end() -> None:
    with memory_kept(CPU):
        held = [torch.ones(64, 1024, 256) for _ in range(4)]
        del held
        inside = _resident_megabytes()
    assert _resident_megabytes() < inside - 128


def test_an_accelerator_keeps_its_memory_by_itself() -> None:
    with memory_kept(torch.device("cuda")):
        assert _faults_of_steps(8) > 1000
