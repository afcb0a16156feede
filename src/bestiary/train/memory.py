"""Freed memory that is used again, instead of being given back to the kernel and asked for anew at every step.

glibc's malloc returns each large block that a step on a CPU frees, and the kernel then clears the same pages again
when the next step asks for them: 110,000 page faults a step of recipe `fast`. Kept, steps are 1.1 to 1.3 times as
fast; the peak of memory rises by less than a tenth (benchmarks/bench_kept_memory.py). Parameters of malloc: mallopt(3).
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

_TRIM_THRESHOLD, _TOP_PAD, _MMAP_MAX = -1, -2, -4  # of glibc's malloc.h
_KEPT = {_MMAP_MAX: 0, _TRIM_THRESHOLD: 2**31 - 1, _TOP_PAD: 64 << 20}
_USUAL = {_MMAP_MAX: 65536, _TRIM_THRESHOLD: 128 << 10, _TOP_PAD: 128 << 10}


@contextmanager
def memory_kept(device: torch.device) -> Iterator[None]:
    """Let malloc keep what is freed inside; afterwards it is given back, up to what still holds it.

    Does nothing on an accelerator, which keeps memory by itself, or where the C library is not glibc.
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
