"""Gray thumbs -> 64-bit perceptual hashes of the whole image and of the windows that crops leave.

A bit is the sign of one low frequency of the discrete cosine transform. This follows Zauner 2010,
"Implementation and Benchmarking of Perceptual Image Hash Functions", with signs in place of its
median. Brightness, contrast, encoding and size leave the signs unchanged. A mirror image has the
opposite sign in every odd horizontal frequency. An image cropped to nine tenths resembles one of
five windows of its original. Knows nothing of files.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Hashes = NDArray[np.uint64]


class Window(NamedTuple):
    """A part of an image, its borders as shares of the width and height."""

    left: float
    right: float
    top: float
    bottom: float


# The whole image, then what crops to nine tenths leave: the middle and, a little inside, the four
# corners. On half of caltech-creatures (935 images) 99 % of crops to 0.9 at any offset differ from
# the nearest of these in 12 bits or fewer, and 99.9 % of pairs of other images differ from each
# other in 18 or more.
WINDOWS = (
    Window(0.0, 1.0, 0.0, 1.0),
    Window(0.05, 0.95, 0.05, 0.95),
    *(Window(x, x + 0.9, y, y + 0.9) for x in (0.015, 0.085) for y in (0.015, 0.085)),
)

# (vertical, horizontal) frequencies in half waves per image, lowest first. The mean (0, 0) is left
# out: its sign says nothing.
FREQUENCIES = sorted(
    ((v, u) for v in range(12) for u in range(12) if v + u),
    key=lambda frequency: (frequency[0] + frequency[1], frequency),
)[:64]

# Bits of the odd horizontal frequencies, which a mirror image inverts.
MIRROR = np.packbits([u % 2 for _, u in FREQUENCIES]).view(">u8").astype(np.uint64)[0]


def hash_thumbs(thumbs: NDArray[np.uint8]) -> Hashes:
    """Hash every window of gray thumbs.

    Args:
        thumbs: Gray squares, uint8 (images, side, side).

    Returns:
        Hashes (images, windows). The hash of the mirror image is this XOR `MIRROR`.
    """
    vertical, horizontal = np.array(FREQUENCIES).T
    pixels = thumbs.astype(np.float32)
    _, height, width = thumbs.shape
    hashes = np.empty((len(thumbs), len(WINDOWS)), np.uint64)
    for index, window in enumerate(WINDOWS):
        down = _cosines(window.top, window.bottom, height)
        across = _cosines(window.left, window.right, width)
        spectrum = down @ pixels @ across.T
        coefficients = spectrum[:, vertical, horizontal]
        hashes[:, index] = pack_bits(coefficients > 0)
    return hashes


def pack_bits(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> Hashes:
    """Pack rows of 64 bits (images, 64), highest bit first, into integers (images,)."""
    octets = np.ascontiguousarray(np.packbits(bits, axis=1))
    return octets.view(">u8")[:, 0].astype(np.uint64)


def _cosines(low: float, high: float, side: int) -> NDArray[np.float32]:
    """Make the cosines of all frequencies over a part of a line of pixels.

    Args:
        low: Start of the part, 0 to 1.
        high: End of the part, 0 to 1.
        side: Length of the line in pixels.

    Returns:
        (frequencies, side). All but the first sum to 0; pixels outside the part have weight 0.
    """
    edges = np.arange(side + 1) / side
    starts = edges[:-1]
    ends = edges[1:]
    center = (ends + starts) / 2
    position = (center - low) / (high - low)  # 0 to 1 in the part

    # Weigh each pixel by how much of it lies in the part.
    first = np.maximum(starts, low)
    last = np.minimum(ends, high)
    weight = np.clip(last - first, 0, None) * side
    cosines = _weighted_cosines(position, weight)

    # Subtract the weighted mean, so that brightness does not matter.
    sums = cosines[1:].sum(axis=1)
    means = sums / weight.sum()
    cosines[1:] -= means[:, None] * weight
    return cosines.astype(np.float32)


def _weighted_cosines(
    position: NDArray[np.float64], weight: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Make the cosines of all frequencies (frequencies, side), times the pixels' weights."""
    rows = []
    n_frequencies = max(map(max, FREQUENCIES)) + 1
    for frequency in range(n_frequencies):
        cosine = np.cos(np.pi * frequency * position)
        rows.append(cosine * weight)
    return np.array(rows)
