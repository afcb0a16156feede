"""Freed memory is kept while training, each look in a process of its own: what others have freed
would blur it.
"""

import platform
import subprocess
import sys

import pytest

glibc_alone = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc", reason="only glibc's malloc is told to keep memory"
)

START = """
import resource, torch
from pathlib import Path
from bestiary.training.malloc import memory_kept

def step():
    return [torch.ones(16, 1024, 256) for _ in range(8)]  # 128 MB in blocks that are kept; malloc alone gives them back

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
"""


def _printed(code: str) -> list[float]:
    done = subprocess.run(
        [sys.executable, "-c", START + code], capture_output=True, text=True, check=True
    )
    return [float(number) for number in done.stdout.split()]


@glibc_alone
def test_freed_memory_is_used_again() -> None:
    usual, kept = _printed("""
usual = faults(8)
with memory_kept(torch.device("cpu")):
    faults(24)  # the heap grows until a free block fits each request
    print(usual, faults(8))
""")
    assert kept < usual / 10


@glibc_alone
def test_what_was_kept_is_given_back_at_the_end() -> None:
    inside, after = _printed("""
with memory_kept(torch.device("cpu")):
    held = [step() for _ in range(2)]
    del held
    inside = resident_megabytes()
print(inside, resident_megabytes())
""")
    assert after < inside - 128


def test_an_accelerator_keeps_its_memory_by_itself() -> None:
    (faults,) = _printed("""
with memory_kept(torch.device("cuda")):
    print(faults(8))
""")
    assert faults > 1000
