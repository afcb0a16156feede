"""Freed memory that is used again, instead of being given back to the kernel and asked for anew at
every step.

glibc's malloc returns the large blocks that a step on a CPU frees, and the kernel then clears the
same pages again when the next step asks for them: 110,000 page faults a step of recipe `fast`.
Blocks of up to 32 MiB, the most that malloc lets be asked for, are kept; steps are up to 1.3 times
as fast, and the peak of memory stays (benchmarks/bench_kept_memory.py, bench_memory.py). Keeping
larger ones too was a little faster, but it made the heap grow with the number of steps: 1.20 times
the memory for ten times the images, against 1.06. Parameters of malloc: mallopt(3).
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of glibc's malloc.h
_KEPT = {_MMAP_THRESHOLD: 32 << 20, _TRIM_THRESHOLD: 2**31 - 1}
_USUAL = {_MMAP_THRESHOLD: 128 << 10, _TRIM_THRESHOLD: 128 << 10}


@contextmanager
def freed_memory_kept(device: torch.device) -> Iterator[None]:
    """Let malloc keep what is freed inside; afterwards it is given back, up to what still holds it.

    Does nothing on an accelerator, which keeps memory by itself, or where the C library is not
    glibc.
    """
    if device.type != "cpu" or platform.libc_ver()[0] != "glibc":
        yield
        return
    glibc = ctypes.CDLL(None)
    for parameter, value in _KEPT.items():
        glibc.mallopt(ctypes.c_int(parameter), ctypes.c_int(value))
    try:
        yield
    finally:
        for parameter, value in _USUAL.items():
            glibc.mallopt(ctypes.c_int(parameter), ctypes.c_int(value))
        glibc.malloc_trim(ctypes.c_size_t(0))
