"""Pairs that look alike -> those that show one image: aligned, their details must agree place by
place.

Two images of one species in one pose agree in the large and not in the small; a copy, even cropped,
marked or brightened, agrees in the small over most of its area. The thumbs are laid over each other
by an affine map that makes their enhanced correlation largest (Evangelidis and Psarakis 2008,
doi:10.1109/TPAMI.2008.113), and compared block by block. Knows nothing of files and labels.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bestiary.cores import cores
from bestiary.data.near_duplicates.candidates import Pairs
from bestiary.data.near_duplicates.hashes import WINDOWS

Progress = Callable[[int, int], None]  # (done, of)
Gray = NDArray[np.float32]  # (side, side)

BLOCK = 8  # pixels of a thumb
FLAT = 9.0  # variance of gray levels below which a block shows nothing to compare
ALIKE = 0.8  # correlation from which a block's details agree
# Share of the blocks with detail that must agree. On half of caltech-creatures (935 images) the
# copies made by benchmarks/copies.py reach 0.91 and more (a watermark across the image: 99 % reach
# 0.53), the 300 nearest pairs of different images 0.33 at most; what lies between was looked at:
# burst frames and redrawn copies.
SHARE = 0.45
# The same where images have so little detail that by SHARE a large part of them would be one motif:
# of 6,000 nearest pairs of handwritten digits of 28 pixels 57 % reach SHARE and 0.4 % this; of
# their copies darker ones and JPEGs of quality 95 all do, of quality 85 and enlarged ones a quarter
# to a half.
SHARE_OF_ALIKE = 0.85
DOUBT = 2  # blocks that are taken to disagree besides, so that a single one cannot decide
COVERED = 0.6  # share of the copy that must lie on its original
ROUND = 2048  # pairs compared before those that are in one group by now are dropped
_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-3)


def confirm_near_duplicates(
    pairs: Pairs,
    thumbs: NDArray[np.uint8],
    row_of: NDArray[np.int64],
    progress: Progress | None = None,
    share: float = SHARE,
) -> NDArray[np.int64]:
    """Those of the pairs that show one image, as far as groups need them.

    Pairs are compared nearest first; a pair whose images are linked by others already is not
    compared any more.

    Args:
        pairs: see `candidate_pairs`.
        thumbs: gray squares (thumbs, side, side).
        row_of: for each image, its row among the thumbs.
        progress: told how many pairs are settled.
        share: of the blocks with detail that must agree.

    Returns:
        (links, 2) numbers of images.
    """
    links = np.empty((0, 2), np.int64)
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(pairs), ROUND):
            part = pairs[start : start + ROUND]
            group = components(links, len(row_of))
            part = part[group[part[:, 0]] != group[part[:, 1]]]
            alike = np.fromiter(
                pool.map(lambda pair: _is_copy(pair, thumbs, row_of, share), part),
                np.bool_,
                len(part),
            )
            links = np.concatenate([links, part[alike, :2]])
            if progress:
                progress(min(start + ROUND, len(pairs)), len(pairs))
    return links


def components(links: NDArray[np.int64], images: int) -> NDArray[np.int64]:
    """Group number of each image (images,), given links (links, 2) between them."""
    graph = coo_array(
        (np.ones(len(links), np.int8), (links[:, 0], links[:, 1])), shape=(images, images)
    )
    return np.asarray(connected_components(graph, directed=False)[1], np.int64)


def _is_copy(
    pair: NDArray[np.int64], thumbs: NDArray[np.uint8], row_of: NDArray[np.int64], share: float
) -> bool:
    image, partner, window, mirrored = (int(number) for number in pair[:4])
    copy = thumbs[row_of[partner]]
    return agreement(thumbs[row_of[image]], copy[:, ::-1] if mirrored else copy, window) >= share


def agreement(original: NDArray[np.uint8], copy: NDArray[np.uint8], window: int) -> float:
    """Share (0 to 1) of the detailed blocks of `copy` that agree with `original`, of which it may
    show a window.

    Args:
        original: gray square (side, side).
        copy: likewise.
        window: number of the window in `WINDOWS` that the alignment starts from.
    """
    left, right, top, bottom = WINDOWS[window]
    side, across, down = len(copy), right - left, bottom - top
    start = np.array(
        [[across, 0, left * side + (across - 1) / 2], [0, down, top * side + (down - 1) / 2]],
        np.float32,
    )
    whole, part = original.astype(np.float32), np.ascontiguousarray(copy, np.float32)
    try:
        _, placed = cv2.findTransformECC(part, whole, start, cv2.MOTION_AFFINE, _STOP, None, 3)
    except cv2.error:
        return 0.0  # no alignment makes them correlate
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    moved = cv2.warpAffine(whole, placed, (side, side), flags=flags)
    covered = cv2.warpAffine(np.ones_like(whole), placed, (side, side), flags=flags)
    if covered.mean() < COVERED:
        return 0.0
    return _agreeing_blocks(part, moved, covered)


def _agreeing_blocks(a: Gray, b: Gray, covered: Gray) -> float:
    mean_a, mean_b = _block_means(a), _block_means(b)
    variance_a, variance_b = _block_means(a * a) - mean_a**2, _block_means(b * b) - mean_b**2
    covariance = _block_means(a * b) - mean_a * mean_b
    seen = (_block_means(covered) > 0.95) & (np.maximum(variance_a, variance_b) > FLAT)
    correlation = covariance / np.sqrt(np.maximum(variance_a, 1) * np.maximum(variance_b, 1))
    return float((correlation[seen] > ALIKE).sum() / (seen.sum() + DOUBT))


def _block_means(values: Gray) -> Gray:
    blocks = len(values) // BLOCK
    return np.asarray(values.reshape(blocks, BLOCK, blocks, BLOCK).mean(axis=(1, 3)))
