"""A training step -> its seconds of the CPU, which other programs disturb less than the clock's."""

import sys
import time
from collections.abc import Callable

import torch

from bestiary.model.compute import best_precision


def seconds_of(step: Callable[[], None]) -> float:
    """Seconds of the CPU in this process that a step takes."""
    started = time.process_time()
    step()
    return time.process_time() - started


def need_bf16() -> None:
    """End a script that compares steps in bf16, on a CPU that has none: it emulates them."""
    if best_precision(torch.device("cpu")) != "bf16":
        sys.exit("This CPU has no bf16: it would emulate every step, and no speed would hold.")
