"""Candidate pairs -> confirmed near duplicates: aligned thumbs whose details agree block by block.

Two images of one species in one pose agree in their coarse structure and not in their details. A
near duplicate, even cropped, watermarked or brightened, agrees in the details of most blocks
(`NEAR_DUPLICATE_AGREEMENT`). An affine map that maximizes the enhanced correlation coefficient
aligns the thumbs (Evangelidis and Psarakis 2008, doi:10.1109/TPAMI.2008.113). Knows nothing of
files and labels.
"""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

import cv2
import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bestiary.cores import cores
from bestiary.data.near_duplicates.candidates import Pairs
from bestiary.data.near_duplicates.hashes import WINDOWS
from bestiary.display import Tick

IntArray = NDArray[np.int64]
Thumb = NDArray[np.uint8]  # gray (side, side)
Gray = NDArray[np.float32]  # (side, side)

# The near-duplicate threshold: share of the detailed blocks that must agree. On half of
# caltech-creatures (935 images) the near duplicates made by benchmarks/copying.py reach 0.91 and
# more (with a watermark across the image 99 % reach 0.53). The 300 nearest pairs of different
# images reach 0.33 at most. What lies between was inspected: burst frames and redrawn images.
NEAR_DUPLICATE_AGREEMENT = 0.45

# The same share for datasets of low detail, where NEAR_DUPLICATE_AGREEMENT would join a large part
# of all images. Of 6,000 nearest pairs of handwritten digits of 28 pixels, 57 % reach
# NEAR_DUPLICATE_AGREEMENT and 0.4 % reach this. Of their near duplicates, the darker ones and the
# JPEGs of quality 95 all reach it; of quality 85 and of the enlarged ones a quarter to a half do.
NEAR_DUPLICATE_AGREEMENT_LOW_DETAIL = 0.85

BLOCK_SIDE = 8  # pixels of a thumb
MIN_BLOCK_VARIANCE = 9.0  # of gray levels; a block with less shows nothing to compare
MIN_BLOCK_CORRELATION = 0.8  # two blocks with more agree
MIN_BLOCK_OVERLAP = 0.95  # share of a block that the aligned image must cover
MIN_OVERLAP = 0.6  # share of the partner that the aligned image must cover
PRIOR_DISAGREEING_BLOCKS = 2  # added to the count, so that a single block cannot decide
PAIRS_PER_ROUND = 2048  # after each round, pairs within one group are dropped

_ECC_STOP = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, 30, 1e-3)
_ECC_BLUR = 3  # pixels of the Gaussian filter


def confirm_near_duplicates(
    pairs: Pairs,
    thumbs: NDArray[np.uint8],
    thumb_of_image: IntArray,
    progress: Tick | None = None,
    min_agreement: float = NEAR_DUPLICATE_AGREEMENT,
) -> IntArray:
    """Confirm the candidate pairs that are near duplicates.

    Pairs are compared nearest first. A pair is skipped if other links join its images already.

    Args:
        pairs: Candidates, see `candidate_pairs`.
        thumbs: Gray squares, uint8 (thumbs, side, side).
        thumb_of_image: Index of each image's thumb (images,).
        progress: Called with the number of pairs done.
        min_agreement: Share of the detailed blocks that must agree, 0 to 1.

    Returns:
        Links between images (links, 2).
    """
    n_images = len(thumb_of_image)
    measure = partial(_pair_agreement, thumbs, thumb_of_image)
    links = np.empty((0, 2), np.int64)
    with ThreadPoolExecutor(cores()) as pool:
        for start in range(0, len(pairs), PAIRS_PER_ROUND):
            end = min(start + PAIRS_PER_ROUND, len(pairs))
            batch = pairs[start:end]

            # Skip pairs whose images are in one group already.
            group = components(links, n_images)
            image_group = group[batch[:, 0]]
            partner_group = group[batch[:, 1]]
            batch = batch[image_group != partner_group]

            agreements = np.array(list(pool.map(measure, batch)), np.float64)
            confirmed = batch[agreements >= min_agreement]
            links = np.concatenate([links, confirmed[:, :2]])
            if progress:
                progress(end, len(pairs))
    return links


def components(links: IntArray, images: int) -> IntArray:
    """Number the groups that links join.

    Args:
        links: Links between images (links, 2).
        images: Number of images.

    Returns:
        Group number of each image (images,).
    """
    weights = np.ones(len(links), np.int8)
    edges = (links[:, 0], links[:, 1])
    graph = coo_array((weights, edges), shape=(images, images))
    _, component = connected_components(graph, directed=False)
    return np.asarray(component, np.int64)


def _pair_agreement(thumbs: NDArray[np.uint8], thumb_of_image: IntArray, pair: IntArray) -> float:
    """Measure the agreement of a candidate pair, a row of `Pairs`."""
    image, partner, window, mirrored, _ = pair.tolist()
    image_thumb = thumbs[thumb_of_image[image]]
    partner_thumb = thumbs[thumb_of_image[partner]]
    if mirrored:
        partner_thumb = partner_thumb[:, ::-1]
    return agreement(image_thumb, partner_thumb, window)


def agreement(image: Thumb, partner: Thumb, window: int) -> float:
    """Align an image with its partner and measure the share of detailed blocks that agree.

    Args:
        image: Gray square, uint8 (side, side).
        partner: Gray square, uint8 (side, side); it may show a window of `image`.
        window: Index in `WINDOWS` of the window that the alignment starts from.

    Returns:
        Share of the partner's detailed blocks that agree, 0 to 1. It is 0 if the alignment fails
        or the aligned image covers too little of the partner.
    """
    whole = image.astype(np.float32)
    part = np.ascontiguousarray(partner, np.float32)
    start = _window_map(window, len(partner))
    try:
        _, affine = cv2.findTransformECC(
            part,
            whole,
            start,
            cv2.MOTION_AFFINE,
            _ECC_STOP,
            None,
            _ECC_BLUR,
        )
    except cv2.error:
        return 0.0  # no alignment makes them correlate

    aligned = _warp(whole, affine)
    coverage = _warp(np.ones_like(whole), affine)
    if coverage.mean() < MIN_OVERLAP:
        return 0.0
    return _agreeing_blocks(part, aligned, coverage)


def _window_map(window: int, side: int) -> Gray:
    """Make the affine map (2, 3) from the pixels of a partner to a window of the image."""
    left, right, top, bottom = WINDOWS[window]
    across = right - left
    down = bottom - top
    x_offset = left * side + (across - 1) / 2
    y_offset = top * side + (down - 1) / 2
    return np.array(
        [
            [across, 0, x_offset],
            [0, down, y_offset],
        ],
        np.float32,
    )


def _warp(image: Gray, affine: Gray) -> Gray:
    side = len(image)
    size = (side, side)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    warped = cv2.warpAffine(image, affine, size, flags=flags)
    return np.asarray(warped, np.float32)


def _agreeing_blocks(a: Gray, b: Gray, coverage: Gray) -> float:
    """Share of the covered blocks with detail whose pixels correlate."""
    # Correlate the pixels of each block.
    mean_a = _block_means(a)
    mean_b = _block_means(b)
    variance_a = _block_means(a * a) - mean_a**2
    variance_b = _block_means(b * b) - mean_b**2
    covariance = _block_means(a * b) - mean_a * mean_b
    floored_a = np.maximum(variance_a, 1)
    floored_b = np.maximum(variance_b, 1)
    correlation = covariance / np.sqrt(floored_a * floored_b)

    # Count the agreeing blocks among those that can be compared.
    is_covered = _block_means(coverage) > MIN_BLOCK_OVERLAP
    is_detailed = np.maximum(variance_a, variance_b) > MIN_BLOCK_VARIANCE
    compared = is_covered & is_detailed
    agrees = correlation[compared] > MIN_BLOCK_CORRELATION
    n_compared = compared.sum() + PRIOR_DISAGREEING_BLOCKS
    return float(agrees.sum() / n_compared)


def _block_means(values: Gray) -> Gray:
    blocks = len(values) // BLOCK_SIDE
    by_block = values.reshape(blocks, BLOCK_SIDE, blocks, BLOCK_SIDE)
    return np.asarray(by_block.mean(axis=(1, 3)))
