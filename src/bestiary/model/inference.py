"""Run a PyTorch network over batches of views: preprocessed, in the chosen precision.

Validation and prediction both run networks here. Knows nothing of images on disk, labels or
ensembles.
"""

from collections.abc import Callable, Iterable

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.model.classifier import Classifier
from bestiary.model.compute import DTYPES, memory_format
from bestiary.recipe.choices import Precision


@torch.inference_mode()
def run_network(
    classifier: Classifier,
    views: Iterable[torch.Tensor],
    device: torch.device,
    precision: Precision,
    *,
    channels_last: bool = True,
    output: Callable[[torch.Tensor], torch.Tensor] | None = None,
) -> NDArray[np.float32]:
    """Run a classifier over batches of views.

    Args:
        classifier: in eval mode, on `device`.
        views: uint8 batches (n, size, size, 3).
        device: where to compute.
        precision: of the network's arithmetic; the result is always float32.
        channels_last: keep the channels innermost.
        output: what to compute from preprocessed images; by default the logits.

    Returns:
        float32 (images, outputs), in the order of the views.
    """
    compute = output or classifier
    layout = memory_format(channels_last)
    outputs = []
    with torch.autocast(device.type, dtype=DTYPES[precision], enabled=precision != "float32"):
        for batch in views:
            images = classifier.preprocess(batch.to(device, non_blocking=True))
            images = images.contiguous(memory_format=layout)
            outputs.append(compute(images).float())
    # One copy at the end: a copy for each batch would make a GPU wait for it.
    return torch.cat(outputs).cpu().numpy()
