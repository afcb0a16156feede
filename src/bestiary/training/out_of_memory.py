"""Out of memory: train each batch in twice as many parts as before.

The parts of a batch are micro-batches whose gradients add up. Each has at least two images, since
batch norm cannot take statistics of one. Does not know networks or training loops.
"""

from bestiary.errors import LocalRankError, RunError

MIN_PART_IMAGES = 2


class OutOfMemoryRetry(Exception):  # noqa: N818
    """One process is out of memory for a part of a batch, and tries again with more parts.

    Attributes:
        parts: number of parts that the batch was cut into.
    """

    def __init__(self, parts: int) -> None:
        super().__init__(parts)
        self.parts = parts


def rank_out_of_memory(fold: int, rank: int, n_ranks: int) -> LocalRankError:
    """Build the error for one of several ranks that is out of memory.

    The other ranks wait for gradients, and cannot be made to return to a checkpoint.

    Args:
        fold: number of the fold.
        rank: that is out of memory.
        n_ranks: that train the fold together.
    """
    return LocalRankError(
        f"fold {fold}: out of memory in process {rank} of {n_ranks}; resume with --resume and more "
        "processes, or begin a new run with a smaller view.size or train.batch_size"
    )


def out_of_memory_notice(fold: int, batch_size: int, parts: int) -> str:
    """Format the line that tells the user about a retry after running out of memory.

    Args:
        fold: number of the fold.
        batch_size: images in a batch.
        parts: number of parts of the retry.
    """
    return (
        f"fold {fold}: out of memory; returns to its last checkpoint, and trains each batch of "
        f"{batch_size} in {parts} parts, gradients added up"
    )


def can_halve(n_images: int) -> bool:
    """Check whether half as many images at a time are enough for batch norm."""
    return n_images // 2 >= MIN_PART_IMAGES


def count_parts(n_images: int, parts: int) -> int:
    """Count the parts that a batch is cut into.

    Args:
        n_images: in the batch.
        parts: asked for.

    Returns:
        `parts`, or fewer if some would have less than two images.
    """
    return min(parts, max(1, n_images // MIN_PART_IMAGES))


def doubled_parts(fold: int, batch_size: int, parts: int) -> int:
    """Double the number of parts after one was out of memory.

    Args:
        fold: number of the fold, for the message.
        batch_size: images in a batch.
        parts: number of parts that did not fit.

    Returns:
        Twice as many parts.

    Raises:
        RunError: a part would have less than two images.
    """
    part_size = batch_size // parts
    if not can_halve(part_size):
        raise RunError(
            f"fold {fold}: out of memory even with {part_size} images at a time; free memory and "
            "--resume, or begin a new run with a smaller view.size or another model.backbone"
        )
    return 2 * parts
