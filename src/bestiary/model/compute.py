"""Choose how a device computes a network: precision, memory format, compilation, threads.

Says what is possible; `bestiary.training.autotune` measures what is fastest. Knows nothing of
images.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from bestiary.numbers import counted
from bestiary.recipe.choices import Precision, PrecisionOption

DTYPES = {
    "bf16": torch.bfloat16,
    "fp16": torch.float16,
    "float32": torch.float32,
}


@dataclass(frozen=True, slots=True)
class ComputeConfig:
    """How a network is computed.

    Attributes:
        precision: of the network's products; parameters and results are always float32.
        channels_last: keep the channels innermost (NHWC), else contiguous (NCHW).
        compiled: use torch.compile.
        threads: PyTorch's threads on a CPU.
        cudnn_benchmark: on a GPU, let cuDNN time its algorithms for each shape.
        cuda_graphs: on a GPU, launch a whole step's kernels at once.
        folded_norms: in training, compute frozen batch norms inside the convolutions, see
            `bestiary.model.folded_norms`.
        fast_depthwise: in training, see `bestiary.model.depthwise`.
    """

    precision: Precision
    channels_last: bool = True
    compiled: bool = False
    threads: int = 1
    cudnn_benchmark: bool = False
    cuda_graphs: bool = False
    folded_norms: bool = False
    fast_depthwise: bool = False

    @property
    def memory_format(self) -> torch.memory_format:
        """The memory format of the network and its input."""
        return memory_format(self.channels_last)

    def __str__(self) -> str:
        layout = "channels last" if self.channels_last else "contiguous"
        threads = counted(self.threads, "thread")
        words = [self.precision, layout]
        if self.compiled:
            words.append("compiled")
        if self.folded_norms:
            words.append("frozen norms folded")
        if self.cudnn_benchmark:
            words.append("algorithms by cuDNN's benchmark")
        if self.cuda_graphs:
            words.append("CUDA graphs")
        return ", ".join([*words, threads])


def memory_format(channels_last: bool) -> torch.memory_format:
    """Return PyTorch's memory format for NHWC (`channels_last`) or NCHW."""
    return torch.channels_last if channels_last else torch.contiguous_format


def synchronize(device: torch.device) -> None:
    """Wait until a device has finished the work it was given; a CPU always has.

    Args:
        device: to wait for.
    """
    if device.type != "cpu":
        torch.accelerator.synchronize(device)


@contextmanager
def cudnn_options(*, benchmark: bool, deterministic: bool) -> Iterator[None]:
    """Set how cuDNN chooses its algorithms inside the block.

    PyTorch's own context manager would also set what is not named here, such as cuDNN itself.

    Args:
        benchmark: time all algorithms for each new shape, and take the fastest.
        deterministic: take only algorithms that give the same bits again.
    """
    cudnn = torch.backends.cudnn
    former_benchmark = cudnn.benchmark
    former_deterministic = cudnn.deterministic
    cudnn.benchmark = benchmark
    cudnn.deterministic = deterministic
    try:
        yield
    finally:
        cudnn.benchmark = former_benchmark
        cudnn.deterministic = former_deterministic


@contextmanager
def without_tf32() -> Iterator[None]:
    """Let convolutions in float32 keep all bits of their factors inside the block.

    An NVIDIA GPU keeps 10 of 23 by default, so networks that differ in the order of sums alone
    would seem to disagree.
    """
    former = torch.backends.cudnn.allow_tf32
    torch.backends.cudnn.allow_tf32 = False
    try:
        yield
    finally:
        torch.backends.cudnn.allow_tf32 = former


def device_name(device: torch.device) -> str:
    """Return the name of a GPU, or the instruction set of a CPU."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"


def resolve_precision(requested: PrecisionOption, device: torch.device) -> Precision:
    """Replace ``auto`` by the best precision of a device.

    Args:
        requested: a precision or ``auto``.
        device: where the network computes.

    Returns:
        `requested`, or for ``auto`` what `best_precision` returns.
    """
    return best_precision(device) if requested == "auto" else requested


def best_precision(device: torch.device) -> Precision:
    """Choose the precision that a device computes fastest in hardware.

    Args:
        device: where the network computes.

    Returns:
        bf16 where the hardware has it, fp16 on GPUs without, else float32.
    """
    if device.type == "cuda":
        return "bf16" if torch.cuda.is_bf16_supported(including_emulation=False) else "fp16"
    # torch.cpu.get_capabilities is public, but the oldest PyTorch that is supported lacks it.
    if device.type == "cpu" and torch.cpu._is_avx512_bf16_supported():
        return "bf16"
    return "float32"
