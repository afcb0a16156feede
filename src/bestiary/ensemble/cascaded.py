"""Two networks, one member and all of them -> one that asks all only where one is not enough.

Does not know how it was learnt when one is enough (`bestiary.stats.cascade`).
"""

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.model.engine import Network

# Logits (n, classes) of the first member -> whether they are enough (n,)
Stops = Callable[[NDArray[np.float32]], NDArray[np.bool_]]


class CascadedNetwork:
    """Computes the first member of all images, and all members of those that do not stop.

    A single member stops too: after the first of several views.

    Args:
        first: views -> logits (n, 1, classes) of the first member, of all or of the first of the
            test-time views.
        everyone: views -> logits (n, members, classes).
        stops: logits (n, classes) of the first member -> flags (n,).
        members: number of members.
        scale: factor of the first member's logits where an image stops. It makes up for another
            temperature than that of the ensemble's calibration.
    """

    def __init__(
        self,
        first: Network,
        everyone: Network,
        stops: Stops,
        members: int,
        scale: float = 1.0,
    ) -> None:
        self._first = first
        self._everyone = everyone
        self._stops = stops
        self._members = members
        self._scale = np.float32(scale)

    def __call__(self, views: torch.Tensor) -> NDArray[np.float32]:
        """Compute logits of views uint8 (n, size, size, 3).

        An image that stops has the first member's logits for all members.

        Returns:
            Logits, and in the last column whether the image stopped (n, members, classes + 1); see
            `split_stopped`.
        """
        first = self._first(views)
        goes_on = ~self._stops(first[:, 0])
        logits = np.repeat(self._scale * first, self._members, axis=1)
        if goes_on.any():
            logits[goes_on] = self._everyone(views[torch.from_numpy(goes_on)].contiguous())
        stopped = np.broadcast_to(~goes_on[:, None, None], (*logits.shape[:2], 1))
        return np.concatenate([logits, stopped], axis=2, dtype=np.float32)


def split_stopped(
    outputs: NDArray[np.float32],
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Split what a `CascadedNetwork` has computed.

    Args:
        outputs: (members, images, classes + 1).

    Returns:
        Logits (members, images, classes), and which images stopped (images,).
    """
    return np.ascontiguousarray(outputs[..., :-1]), outputs[0, :, -1] > 0
