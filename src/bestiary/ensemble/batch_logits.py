"""The logits of a batch of images, and what was noted while they were computed."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class BatchLogits:
    """The members' logits for one batch of images.

    Attributes:
        rows: index of each image in the sequence that is scored (n,).
        logits: (members, n, classes).
        reasons: index -> reason, for images that cannot be decoded; their logits mean nothing.
        deep: the largest value as a share of white, of each image of more than 8 bits that does
            not say what white is.
        stopped: whether a cascade stopped early (n,); then all members have its
            logits. None: there is no cascade.
    """

    rows: NDArray[np.int64]
    logits: NDArray[np.float32]
    reasons: dict[int, str]
    deep: list[float] = field(default_factory=list)
    stopped: NDArray[np.bool_] | None = None

    @property
    def readable(self) -> NDArray[np.float32]:
        """The logits of the images that could be read (members, readable, classes)."""
        return self.logits[:, [row not in self.reasons for row in self.rows.tolist()]]
