"""A compiled OpenVINO network -> outputs of large batches, in parts that wait for no other part.

Compiled for the shortest time of a request, all cores share each layer and wait for the slowest at
its end. Compiled for throughput, each stream computes a few images of its own. So a core that
another program takes delays one stream alone, and the images of a part stay in the cache of a core.
Measured by benchmarks/speed/streams.py. Knows nothing of how the network was made.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from threading import Lock
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.model.infer_requests import InferRequests
from bestiary.model.openvino_runtime import streams_of

MAX_PART = 4  # images of a request: more do not stay in a core's cache

Outputs = NDArray[np.float32]


class Streams:
    """A network that computes large batches in parts, as many at a time as there are streams.

    Args:
        alone: the network compiled for the shortest time of a request; computes small batches.
        compile_together: compiles it for throughput. It is called once, for the first large batch;
            where it raises RuntimeError, `alone` computes all batches.

    Example:
        >>> run = Streams(compiled, partial(compile_graph, graph, "bf16", together=True))
        ... # doctest: +SKIP
        >>> logits = run(views)  # doctest: +SKIP
    """

    def __init__(self, alone: Any, compile_together: Callable[[], Any]) -> None:
        self._alone = InferRequests(alone)
        self._compile_together: Callable[[], Any] | None = compile_together
        self._compiling = Lock()
        self._together: _Together | None = None
        self._least = 2 * cores()  # images of a batch; fewer would leave cores without a part

    def __call__(self, views: NDArray[np.uint8]) -> Outputs:
        """Compute a batch. Threads may call this at the same time.

        Args:
            views: uint8 (n, size, size, 3).

        Returns:
            The network's first output, (n, ...).
        """
        together = self._ready_together() if len(views) >= self._least else None
        if together is None:
            return _first_output(self._alone, views)
        size = min(MAX_PART, -(-len(views) // together.streams))
        parts = [views[start : start + size] for start in range(0, len(views), size)]
        outputs = together.pool.map(partial(_first_output, together.requests), parts)
        return np.concatenate(list(outputs))

    def _ready_together(self) -> "_Together | None":
        with self._compiling:
            if self._compile_together is not None:
                with suppress(RuntimeError):  # a damaged file; the next start converts it again
                    self._together = _Together(self._compile_together())
                self._compile_together = None  # it may hold the graph's weights
            return self._together


class _Together:
    """A network compiled for throughput, and a thread for each of its streams."""

    def __init__(self, compiled: Any) -> None:
        self.streams = streams_of(compiled)
        self.requests = InferRequests(compiled)
        self.pool = ThreadPoolExecutor(self.streams, "bestiary-stream")


def _first_output(requests: InferRequests, views: NDArray[np.uint8]) -> Outputs:
    (output,) = requests.run(views, [0])
    return output
