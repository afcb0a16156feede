"""What can go wrong while a network is trained, and what it was: memory that is short, numbers
that are not finite.
"""

import torch
from accelerate.utils.memory import should_reduce_batch_size

from bestiary.errors import RunError
from bestiary.training.dataset import TrainingSet


class ShortMemoryError(Exception):
    """The device or the machine had no memory left for a part of a batch.

    Attributes:
        parts: what the batch was cut into.
    """

    def __init__(self, parts: int) -> None:
        super().__init__(parts)
        self.parts = parts


def is_out_of_memory(error: BaseException) -> bool:
    """Whether `error` says that the device or the machine has no memory left."""
    if isinstance(error, (MemoryError, torch.OutOfMemoryError)):
        return True
    return isinstance(error, RuntimeError) and should_reduce_batch_size(error)


def halved_parts(data: TrainingSet, fold: int, parts: int) -> int:
    """Twice as many parts, as long as each has two images."""
    if data.recipe.train.batch_size // (2 * parts) < 2:
        raise RunError(
            f"fold {fold}: out of memory even with {data.recipe.train.batch_size // parts} images "
            f"at a time; free "
            "memory and --resume, or begin a new run with a smaller view.size or another "
            "model.backbone"
        )
    return 2 * parts
