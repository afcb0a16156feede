"""Views -> logits, the one way that validation, prediction and serving run a network.

Also says which arithmetic a device is good at. Knows nothing of pictures, labels or ensembles.
"""

from collections.abc import Callable, Iterable
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.model.classifier import Classifier, memory_format

Precision = Literal["bf16", "fp16", "float32"]
Logits = NDArray[np.float32]  # (pictures, classes)

_DTYPES = {"bf16": torch.bfloat16, "fp16": torch.float16, "float32": torch.float32}


def best_device() -> torch.device:
    """The GPU if there is one, else the CPU."""
    accelerator = torch.accelerator.current_accelerator(check_available=True)
    return accelerator or torch.device("cpu")


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


@torch.inference_mode()
def run_network(
    classifier: Classifier,
    views: Iterable[torch.Tensor],
    device: torch.device,
    precision: Precision,
    *,
    channels_last: bool = True,
    mirror: bool = False,
    output: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> NDArray[np.float32]:
    """Run a classifier over batches of views.

    Args:
        classifier: in eval mode, on `device`.
        views: uint8 batches (n, size, size, 3).
        device: where to compute.
        precision: arithmetic of the network; the result is float32 always.
        channels_last: keep the channels innermost.
        mirror: average with the output for the mirror images.
        output: what to compute from prepared images; by default the logits.

    Returns:
        float32 (pictures, outputs), in the order of the views.
    """
    compute = output or classifier
    parts = []
    with torch.autocast(device.type, dtype=_DTYPES[precision], enabled=precision != "float32"):
        for batch in views:
            images = classifier.prepare(batch.to(device, non_blocking=True))
            images = images.contiguous(memory_format=memory_format(channels_last))
            result = compute(images).float()
            if mirror:
                result = (result + compute(images.flip(3)).float()) / 2
            parts.append(result)
    # One copy at the end: a copy for each batch would make a GPU wait for it.
    return torch.cat(parts).cpu().numpy()
