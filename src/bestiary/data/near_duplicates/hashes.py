"""Gray thumbs -> 64-bit perceptual hashes of the image and of the views that duplicates show.

A bit is the sign of one low frequency of the discrete cosine transform. This follows Zauner 2010,
"Implementation and Benchmarking of Perceptual Image Hash Functions", with signs in place of its
median. Brightness, contrast, encoding and size leave the signs unchanged. A mirror image has the
opposite sign in every odd horizontal frequency, and a quarter turn swaps the two directions. A crop
resembles a window of its original. Knows nothing of files.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.near_duplicates.alignment import to_pixels
from bestiary.data.near_duplicates.views import (
    CONTENT_BOX,
    FIRST_ROTATION,
    FIRST_TURN,
    N_VIEWS,
    ROTATIONS,
    TURNS,
    WHOLE,
    WINDOWS,
    Window,
    rotation_map,
)

Hashes = NDArray[np.uint64]
Thumbs = NDArray[np.uint8]  # gray squares (images, side, side)

MAX_FRAME_RANGE = 16  # gray levels within a line of a uniform frame
MIN_CONTENT_SIDE = 0.4  # share of the image that a frame must leave

# (vertical, horizontal) frequencies in half waves per image, lowest first: both (v, u) and (u, v)
# or none, so that a quarter turn keeps the set. The mean (0, 0) is left out: its sign says nothing.
FREQUENCIES = sorted(
    ((v, u) for v in range(11) for u in range(11) if 0 < v + u <= 10 and (v, u) != (5, 5)),
    key=lambda frequency: (frequency[0] + frequency[1], frequency),
)

# Bits of the odd horizontal frequencies, which a mirror image inverts.
MIRROR = np.packbits([u % 2 for _, u in FREQUENCIES]).view(">u8").astype(np.uint64)[0]

_TRANSPOSED = [FREQUENCIES.index((u, v)) for v, u in FREQUENCIES]
_ODD_VERTICAL = np.array([v % 2 for v, _ in FREQUENCIES], np.bool_)
_ODD_HORIZONTAL = np.array([u % 2 for _, u in FREQUENCIES], np.bool_)


def hash_thumbs(thumbs: Thumbs) -> Hashes:
    """Hash every view of gray thumbs.

    Args:
        thumbs: Gray squares, uint8 (images, side, side).

    Returns:
        Hashes (images, views). The hash of the mirror image is this XOR `MIRROR`.
    """
    pixels = thumbs.astype(np.float32)
    hashes = np.empty((len(thumbs), N_VIEWS), np.uint64)
    whole_bits = _window_bits(pixels, WHOLE)
    hashes[:, 0] = pack_bits(whole_bits)
    for view, window in enumerate(WINDOWS[1:], 1):
        hashes[:, view] = pack_bits(_window_bits(pixels, window))

    for number, quarters in enumerate(TURNS):
        hashes[:, FIRST_TURN + number] = pack_bits(_turned_bits(whole_bits, quarters))

    for number, degrees in enumerate(ROTATIONS):
        rotated = _rotate(pixels, degrees)
        hashes[:, FIRST_ROTATION + number] = pack_bits(_window_bits(rotated, WHOLE))

    framed = _cut_frames(pixels)
    hashes[:, CONTENT_BOX] = pack_bits(_window_bits(framed, WHOLE))
    return hashes


def pack_bits(bits: NDArray[np.bool_] | NDArray[np.uint8]) -> Hashes:
    """Pack rows of 64 bits (images, 64), highest bit first, into integers (images,)."""
    octets = np.ascontiguousarray(np.packbits(bits, axis=1))
    return octets.view(">u8")[:, 0].astype(np.uint64)


def find_content_box(thumb: NDArray[np.generic]) -> Window:
    """Find what a uniform frame (bars above and below, a border) leaves of an image.

    Args:
        thumb: Gray square (side, side).

    Returns:
        The part inside; the whole image if it has no frame, or little is left.
    """
    top, bottom = _content_range(np.ptp(thumb, axis=1))
    left, right = _content_range(np.ptp(thumb, axis=0))
    side = len(thumb)
    box = Window(left / side, right / side, top / side, bottom / side)
    is_large = min(box.right - box.left, box.bottom - box.top) >= MIN_CONTENT_SIDE
    return box if is_large else WHOLE


def _content_range(line_ranges: NDArray[np.generic]) -> tuple[int, int]:
    """First and last line with content: those outside have a single gray level."""
    has_content = np.flatnonzero(np.asarray(line_ranges, np.float64) > MAX_FRAME_RANGE)
    if not len(has_content):
        return 0, len(line_ranges)
    return int(has_content[0]), int(has_content[-1]) + 1


def _window_bits(pixels: NDArray[np.float32], window: Window) -> NDArray[np.bool_]:
    """The bits (images, 64) of one window of gray images (images, side, side)."""
    vertical, horizontal = np.array(FREQUENCIES).T
    _, height, width = pixels.shape
    down = _cosines(window.top, window.bottom, height)
    across = _cosines(window.left, window.right, width)
    spectrum = down @ pixels @ across.T
    bits: NDArray[np.bool_] = spectrum[:, vertical, horizontal] > 0
    return bits


def _turned_bits(bits: NDArray[np.bool_], quarters: int) -> NDArray[np.bool_]:
    """The bits of the images turned by quarter turns, in the direction of `views.turn_map`."""
    if quarters == 2:
        return bits ^ (_ODD_VERTICAL ^ _ODD_HORIZONTAL)
    odd = _ODD_VERTICAL if quarters == 1 else _ODD_HORIZONTAL
    return bits[:, _TRANSPOSED] ^ odd


def _rotate(pixels: NDArray[np.float32], degrees: float) -> NDArray[np.float32]:
    """Rotate images about their middle; the corners repeat the border."""
    side = pixels.shape[1]
    affine = to_pixels(rotation_map(degrees), side)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    rotated = np.empty_like(pixels)
    for image, out in zip(pixels, rotated, strict=True):
        cv2.warpAffine(image, affine, (side, side), out, flags, cv2.BORDER_REPLICATE)
    return rotated


def _cut_frames(pixels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Cut away the uniform frames of images, and enlarge what is left to the whole square."""
    side = pixels.shape[1]
    content = pixels.copy()
    for index, image in enumerate(pixels):
        box = find_content_box(image)
        if box != WHOLE:
            left, right, top, bottom = (round(share * side) for share in box)
            content[index] = cv2.resize(image[top:bottom, left:right], (side, side))
    return content


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
