"""A device -> the arithmetic that a network is computed in: precision, layout, compilation,
threads.

Says what is possible; what is fastest is measured elsewhere. Knows nothing of images or of
training.
"""

from dataclasses import dataclass
from typing import Literal

import torch

Precision = Literal["bf16", "fp16", "float32"]

DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """How a network is computed.

    Attributes:
        precision: of the network's products; parameters and results are float32 always.
        channels_last: keep the channels innermost (NHWC), else contiguous (NCHW).
        compiled: by torch.compile.
        threads: of PyTorch on the CPU.
    """

    precision: Precision
    channels_last: bool = True
    compiled: bool = False
    threads: int = 1

    @property
    def memory_format(self) -> torch.memory_format:
        """The layout in PyTorch's terms."""
        return torch.channels_last if self.channels_last else torch.contiguous_format

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "contiguous"
        threads = "1 thread" if self.threads == 1 else f"{self.threads} threads"
        return ", ".join(
            [self.precision, layout, *(["compiled"] if self.compiled else []), threads]
        )


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


def device_name(device: torch.device) -> str:
    """What the device is called: the GPU's name, or the CPU's instruction set."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


def resolve_precision(asked: Precision | Literal["auto"], device: torch.device) -> Precision:
    """The precision asked for; ``auto`` is the best that `device` computes in."""
    return best_precision(device) if asked == "auto" else asked


def best_precision(device: torch.device) -> Precision:
    """bf16 where the hardware computes in it, fp16 on GPUs that lack it, else float32."""
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    if device.type == "cpu" and torch.cpu.get_capabilities().get("avx512_bf16", False):
        return "bf16"
    return "float32"
