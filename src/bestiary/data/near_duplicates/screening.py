"""Candidate pairs and gray thumbs -> the pairs whose thumbs align and agree, with their alignment.

Cheap, so that the proof on real pixels is left with few pairs: a coarse alignment first, a finer
one for what correlates, then the share of detailed blocks that agree. What passes may still show
two subjects of one outline. Knows nothing of files.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.near_duplicates.alignment import Gray, align, covered, warp
from bestiary.data.near_duplicates.hashes import find_content_box
from bestiary.data.near_duplicates.views import CONTENT_BOX, WHOLE, Affine, view_map

Thumb = NDArray[np.uint8]  # gray (side, side)

COARSE_SIDE = 32  # pixels
COARSE_STEPS = 15
FINE_STEPS = 20

# Of pairs made by benchmarks/altering.py, 99.5 % correlate by more than each of these two. Of the
# candidates that are no near duplicates, three in ten pass the first, and one in ten the second.
MIN_START_CORRELATION = 0.5  # of the coarse squares, laid over each other by the view
MIN_CORRELATION = 0.85  # of the coarse squares, once aligned

MIN_COVERAGE = 0.35  # share of the partner that the aligned image must cover
GOOD_AGREEMENT = 0.85  # with less, a second start is tried
BLOCK_SIDE = 8  # pixels of a thumb
MIN_BLOCK_VARIANCE = 9.0  # of gray levels; a block with less shows nothing to compare
MIN_BLOCK_CORRELATION = 0.6  # two blocks with more agree
MIN_BLOCK_OVERLAP = 0.95  # share of a block that the aligned image must cover
PRIOR_DISAGREEING_BLOCKS = 2  # added to the count, so that a single block cannot decide


class Screened(NamedTuple):
    """A pair whose thumbs align.

    Attributes:
        affine: The map from the partner's unit square to the image's.
        agreement: Share of the detailed blocks that agree, 0 to 1.
    """

    affine: Affine
    agreement: float


def screen(image: Thumb, partner: Thumb, view: int) -> Screened | None:
    """Align two thumbs and measure how many of their detailed blocks agree.

    An alignment may end at a wrong place. So the whole image is a second start where the first did
    not end well.

    Args:
        image: Gray square, uint8 (side, side).
        partner: Gray square, uint8 (side, side); it may show a view of `image`.
        view: Index of the view, see `views.view_map`.

    Returns:
        The alignment; None if the thumbs do not correlate or hardly overlap.
    """
    best = _screen_from(image, partner, view)
    if view and (best is None or best.agreement < GOOD_AGREEMENT):
        other = _screen_from(image, partner, 0)
        if best is None or (other is not None and other.agreement > best.agreement):
            best = other
    return best


def _screen_from(image: Thumb, partner: Thumb, view: int) -> Screened | None:
    """Align two thumbs from one view."""
    start = view_map(view, find_content_box(image) if view == CONTENT_BOX else WHOLE)
    small = _shrink(image)
    small_partner = _shrink(partner)
    if _correlate(warp(small, start), small_partner) < MIN_START_CORRELATION:
        return None
    coarse = align(small, small_partner, start, COARSE_STEPS)
    if coarse is None or coarse.correlation < MIN_CORRELATION:
        return None

    whole = image.astype(np.float32)
    part = partner.astype(np.float32)
    fine = align(whole, part, coarse.affine, FINE_STEPS)
    if fine is None:
        return None
    coverage = covered(fine.affine, len(part)).astype(np.float32)
    if coverage.mean() < MIN_COVERAGE:
        return None
    agreement = _agreeing_blocks(part, warp(whole, fine.affine), coverage)
    return Screened(fine.affine, agreement)


def _shrink(thumb: Thumb) -> Gray:
    size = (COARSE_SIDE, COARSE_SIDE)
    small = cv2.resize(thumb, size, interpolation=cv2.INTER_AREA)
    return np.asarray(small, np.float32)


def _correlate(a: Gray, b: Gray) -> float:
    centered_a = a - a.mean()
    centered_b = b - b.mean()
    power = np.vdot(centered_a, centered_a) * np.vdot(centered_b, centered_b)
    return float(np.vdot(centered_a, centered_b) / np.sqrt(power + 1))


def _agreeing_blocks(a: Gray, b: Gray, coverage: Gray) -> float:
    """Share of the covered blocks with detail whose pixels correlate."""
    # Correlate the pixels of each block.
    mean_a = block_means(a, BLOCK_SIDE)
    mean_b = block_means(b, BLOCK_SIDE)
    variance_a = block_means(a * a, BLOCK_SIDE) - mean_a**2
    variance_b = block_means(b * b, BLOCK_SIDE) - mean_b**2
    covariance = block_means(a * b, BLOCK_SIDE) - mean_a * mean_b
    floored_a = np.maximum(variance_a, 1)
    floored_b = np.maximum(variance_b, 1)
    correlation = covariance / np.sqrt(floored_a * floored_b)

    # Count the agreeing blocks among those that can be compared.
    is_covered = block_means(coverage, BLOCK_SIDE) > MIN_BLOCK_OVERLAP
    is_detailed = np.maximum(variance_a, variance_b) > MIN_BLOCK_VARIANCE
    compared = is_covered & is_detailed
    agrees = correlation[compared] > MIN_BLOCK_CORRELATION
    n_compared = compared.sum() + PRIOR_DISAGREEING_BLOCKS
    return float(agrees.sum() / n_compared)


def block_means(values: Gray, side: int) -> Gray:
    """Average square blocks of a square (pixels, pixels).

    Args:
        values: The square.
        side: Side of a block in pixels; divides that of the square.
    """
    blocks = len(values) // side
    by_block = values.reshape(blocks, side, blocks, side)
    return np.asarray(by_block.mean(axis=(1, 3)))
