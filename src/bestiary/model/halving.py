"""Halve a batch that the device has no memory for: detect the error, try again with fewer images.

Prediction in training and prediction with a finished ensemble both compute through this. Knows
nothing of gradients, whose batches `bestiary.training.out_of_memory` cuts.
"""

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.model.engine import Network

# What PyTorch, cuBLAS and cuDNN say, in small letters. The first two are those that Accelerate
# knows too (accelerate.utils.memory.should_reduce_batch_size).
OUT_OF_MEMORY_WORDS = (
    "out of memory",
    "can't allocate memory",
    "cudnn_status_not_supported",
    "alloc_failed",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Check whether an error says that the device or the machine is out of memory.

    Args:
        error: of PyTorch, or any other.

    Returns:
        Whether it does.

    Example:
        >>> is_out_of_memory(RuntimeError("CUDA error: out of memory"))
        True
    """
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    message = str(error).lower()
    return isinstance(error, RuntimeError) and any(word in message for word in OUT_OF_MEMORY_WORDS)


class HalvedBatches:
    """A network that halves a batch which the device has no memory for, and all later ones.

    Args:
        run: views -> outputs.
    """

    def __init__(self, run: Network) -> None:
        self._run = run
        self._max_images: int | None = None

    def __call__(self, views: torch.Tensor) -> NDArray[np.float32]:
        """Run the network on a batch, in as many parts as memory asks for.

        Args:
            views: uint8 (n, size, size, 3).

        Returns:
            Outputs (n, ...).

        Raises:
            RuntimeError: memory does not suffice for a single image.
        """
        outputs = None
        while outputs is None:
            size = self._max_images or len(views)
            try:
                outputs = [self._run(part) for part in torch.split(views, size)]
            except (RuntimeError, MemoryError) as error:
                if size == 1 or not is_out_of_memory(error):
                    raise
                self._max_images = size // 2
            # Only here: inside the handler, the error still holds the failed attempt's tensors.
            if outputs is None:
                _free_device_memory()
        return outputs[0] if len(outputs) == 1 else np.concatenate(outputs)


def _free_device_memory() -> None:
    from accelerate.utils.memory import clear_device_cache  # seldom needed, and slow to import

    clear_device_cache(garbage_collection=True)
