"""Malloc tuning: let glibc reuse the memory that a training step frees on the CPU.

By default glibc returns large freed blocks to the kernel, which clears the same pages again in the
next step: 110,000 page faults a step of recipe `fast`. Steps are up to 1.3 times as fast if malloc
keeps blocks of up to 32 MiB, its largest setting. Peak memory stays the same
(benchmarks/speed/kept_memory.py, benchmarks/scale/memory.py). Larger blocks are not kept, since
the heap would grow with the number of steps. Parameters of malloc: mallopt(3).
"""

import ctypes
import platform
from collections.abc import Iterator
from contextlib import contextmanager

import torch

# Parameter numbers of glibc's malloc.h.
_TRIM_THRESHOLD = -1
_MMAP_THRESHOLD = -3

_KEEP_FREED = {
    _MMAP_THRESHOLD: 32 << 20,
    _TRIM_THRESHOLD: 2**31 - 1,
}
_DEFAULTS = {
    _MMAP_THRESHOLD: 128 << 10,
    _TRIM_THRESHOLD: 128 << 10,
}


@contextmanager
def keep_freed_memory(device: torch.device) -> Iterator[None]:
    """Keep freed memory in the process inside the block, and return it to the system at the end.

    Does nothing on an accelerator, which caches memory by itself, or without glibc.

    Args:
        device: where the network is trained.
    """
    if device.type != "cpu" or not _is_glibc():
        yield
        return
    glibc = ctypes.CDLL(None)
    _set_malloc_parameters(glibc, _KEEP_FREED)
    try:
        yield
    finally:
        _set_malloc_parameters(glibc, _DEFAULTS)
        return_freed_memory()


def return_freed_memory() -> None:
    """Return the memory that this process has freed to the system; without glibc, do nothing.

    By itself, glibc returns the end of a heap only. One small block that is still used at the end
    of a thread's heap holds all that was freed below it.
    """
    if _is_glibc():
        ctypes.CDLL(None).malloc_trim(ctypes.c_size_t(0))


def _is_glibc() -> bool:
    return platform.libc_ver()[0] == "glibc"


def _set_malloc_parameters(glibc: ctypes.CDLL, values: dict[int, int]) -> None:
    for parameter, value in values.items():
        glibc.mallopt(ctypes.c_int(parameter), ctypes.c_int(value))
