"""Candidate pairs and gray thumbs -> the pairs whose thumbs align and agree, with their alignment.

Cheap, so that the proof on real pixels is left with few pairs: a coarse alignment first, a finer
one for what correlates, then the share of detailed blocks that agree. What passes may still show
two subjects of one outline. Knows nothing of files.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from bestiary.data.gray_squares import Gray, block_means, correlate, shrink
from bestiary.data.near_duplicates.alignment import align, covered, covered_blocks, warp
from bestiary.data.near_duplicates.hashes import find_content_box
from bestiary.data.near_duplicates.views import CONTENT_BOX, WHOLE, Affine, view_map

Thumb = NDArray[np.uint8]  # gray (side, side)

COARSE_SIDE = 32  # pixels
COARSE_STEPS = 15
FINE_STEPS = 20

# Of pairs made by benchmarks/harness/altering.py, 99.5 % correlate by more than each of these two.
# Of the candidates that are no near duplicates, three in ten pass the first, and one in ten the
# second.
MIN_START_CORRELATION = 0.5  # of the coarse squares, laid over each other by the view
MIN_CORRELATION = 0.85  # of the coarse squares, once aligned

MIN_COVERAGE = 0.35  # share of the partner that the aligned image must cover
GOOD_AGREEMENT = 0.85  # with less, a second start is tried
BLOCK_SIDE = 8  # pixels of a thumb
MIN_BLOCK_VARIANCE = 9.0  # of gray levels; a block with less shows nothing to compare
MIN_BLOCK_CORRELATION = 0.6  # two blocks with more agree
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
    scales = _Scales.of(image)
    partner_scales = _Scales.of(partner)
    box = find_content_box(image) if view == CONTENT_BOX else WHOLE
    best = _screen_from(scales, partner_scales, view_map(view, box))
    if view and (best is None or best.agreement < GOOD_AGREEMENT):
        other = _screen_from(scales, partner_scales, view_map(0, WHOLE))
        if best is None or (other is not None and other.agreement > best.agreement):
            best = other
    return best


class _Scales(NamedTuple):
    """A thumb at the two scales at which it is aligned."""

    whole: Gray
    small: Gray

    @classmethod
    def of(cls, thumb: Thumb) -> "_Scales":
        """Make both."""
        return cls(thumb.astype(np.float32), shrink(thumb, COARSE_SIDE))


def _screen_from(image: _Scales, partner: _Scales, start: Affine) -> Screened | None:
    """Align two thumbs from one map."""
    if correlate(warp(image.small, start), partner.small) < MIN_START_CORRELATION:
        return None
    coarse = align(image.small, partner.small, start, COARSE_STEPS)
    if coarse is None or coarse.correlation < MIN_CORRELATION:
        return None
    fine = align(image.whole, partner.whole, coarse.affine, FINE_STEPS)
    if fine is None:
        return None
    mask = covered(fine.affine, len(partner.whole))
    if mask.mean() < MIN_COVERAGE:
        return None
    agreement = _agreeing_blocks(partner.whole, warp(image.whole, fine.affine), mask)
    return Screened(fine.affine, agreement)


def _agreeing_blocks(a: Gray, b: Gray, mask: NDArray[np.bool_]) -> float:
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
    is_covered = covered_blocks(mask, BLOCK_SIDE)
    is_detailed = np.maximum(variance_a, variance_b) > MIN_BLOCK_VARIANCE
    compared = is_covered & is_detailed
    agrees = correlation[compared] > MIN_BLOCK_CORRELATION
    n_compared = compared.sum() + PRIOR_DISAGREEING_BLOCKS
    return float(agrees.sum() / n_compared)
