"""A compiled OpenVINO network -> outputs, from any number of threads at once.

A compiled network that is called runs its one request. Called from several threads, it raises, or
gives one thread the outputs of another's views. Here each call has a request of its own. Knows
nothing of how the network was made.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray


class InferRequests:
    """The infer requests of a compiled network: as many as ever ran at the same time.

    Args:
        compiled: OpenVINO's compiled model.

    Example:
        >>> requests = InferRequests(compiled)  # doctest: +SKIP
        >>> (logits,) = requests.run(views, [0])  # doctest: +SKIP
    """

    def __init__(self, compiled: Any) -> None:
        self._compiled = compiled
        self._free: list[Any] = []  # append and pop of a list are atomic

    def run(
        self,
        views: NDArray[np.uint8],
        outputs: Sequence[int | str],
    ) -> list[NDArray[np.float32]]:
        """Run the network. Threads may call this at the same time.

        Args:
            views: a batch, uint8 (n, size, size, 3).
            outputs: number or name of each output that is wanted.

        Returns:
            The outputs, copied out of the request.
        """
        with self._request() as request:
            results = request.infer(views, share_inputs=True, share_outputs=True)
            return [np.array(results[output], np.float32) for output in outputs]

    @contextmanager
    def _request(self) -> Iterator[Any]:
        """Lend a free request, or a new one."""
        try:
            request = self._free.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        try:
            yield request
        finally:
            self._free.append(request)
