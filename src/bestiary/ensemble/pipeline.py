"""Batches of views -> each batch with its logits, a GPU at work while the last ones are used.

Knows nothing of images on disk.
"""

from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.data.loader import Batch, Rows, load_batches, loader_threads
from bestiary.ensemble.blending import PartViews
from bestiary.model.engine import Network

Scored = tuple[Batch, NDArray[np.float32]]


def load_views(splits: Sequence[Rows], views: PartViews, device: torch.device) -> Iterator[Batch]:
    """Load the views of batches with the threads or processes that suit a device.

    Args:
        splits: rows of each batch.
        views: row -> views; called from worker threads or processes.
        device: where the network computes; a GPU copies from page-locked memory.

    Returns:
        An iterator over the batches, in order.
    """
    threads = loader_threads(device.type, can_inherit=views.part.can_be_inherited)
    return load_batches(splits, views, threads, pin=device.type == "cuda", notes=views)


def score_batches(
    batches: Iterator[Batch], network: Network, device: torch.device
) -> Iterator[Scored]:
    """Compute the logits of batches.

    A CPU computes each batch when it is asked for. A GPU computes the next batch while the caller
    turns the logits of this one into answers.

    Args:
        batches: views, and the rows of their images.
        network: views -> logits (n, members, classes).
        device: where the network computes.

    Yields:
        Each batch with its logits, in order.
    """
    if device.type == "cpu":
        for batch in batches:
            yield batch, network(batch.views)
        return

    with ThreadPoolExecutor(1, "bestiary-gpu") as engine:
        waiting: tuple[Batch, Future[NDArray[np.float32]]] | None = None
        for batch in batches:
            former, waiting = waiting, (batch, engine.submit(network, batch.views))
            if former:
                yield former[0], former[1].result()
        if waiting:
            yield waiting[0], waiting[1].result()
