"""Malloc tuning: freed memory is reused in training, and returned to the system afterwards.

Each test measures a process of its own, where no other test has freed memory.
"""

import platform
import subprocess
import sys

import pytest

needs_glibc = pytest.mark.skipif(
    platform.libc_ver()[0] != "glibc",
    reason="only glibc's malloc is tuned",
)

PRELUDE = """
import resource, torch
from pathlib import Path
from bestiary.training.malloc import keep_freed_memory, return_freed_memory

def step():
    # 128 MB, in blocks that malloc by itself returns to the system.
    return [torch.ones(16, 1024, 256) for _ in range(8)]

def faults(steps):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(steps):
        step()
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident_megabytes():
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() / 1e6
"""


def numbers_printed_by(code: str) -> list[float]:
    process = subprocess.run(
        [sys.executable, "-c", PRELUDE + code],
        capture_output=True,
        text=True,
        check=True,
    )
    return [float(number) for number in process.stdout.split()]


@pytest.mark.slow
@needs_glibc
def test_freed_memory_is_reused() -> None:
    by_default, reused = numbers_printed_by("""
by_default = faults(8)
with keep_freed_memory(torch.device("cpu")):
    faults(24)  # the heap grows until a free block fits each request
    print(by_default, faults(8))
""")
    assert reused < by_default / 10


@pytest.mark.slow
@needs_glibc
def test_freed_memory_is_returned_at_the_end() -> None:
    inside, after = numbers_printed_by("""
with keep_freed_memory(torch.device("cpu")):
    blocks = [step() for _ in range(2)]
    del blocks
    inside = resident_megabytes()
print(inside, resident_megabytes())
""")
    assert after < inside - 128


@pytest.mark.slow
@needs_glibc
def test_memory_freed_between_used_is_returned() -> None:
    before, after = numbers_printed_by("""
blocks = [bytearray(b"1") * 100_000 for _ in range(1280)]
used = blocks[::64]
del blocks
before = resident_megabytes()
return_freed_memory()
print(before, resident_megabytes())
""")
    assert after < before - 100


@pytest.mark.slow
def test_malloc_stays_as_it_is_for_a_gpu() -> None:
    (faults,) = numbers_printed_by("""
with keep_freed_memory(torch.device("cuda")):
    print(faults(8))
""")
    assert faults > 1000
