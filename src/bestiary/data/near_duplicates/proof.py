"""Two images on real pixels and a coarse alignment -> the probability that they are one photograph.

The alignment is refined, the evidence gathered, and a logistic regression weighs it. Its
coefficients are fitted by benchmarks/fit_near_duplicates.py, on pairs whose answer is known; the
script prints them as they stand here. Knows nothing of files.
"""

import math
from typing import NamedTuple

import cv2
import numpy as np

from bestiary.data.decode import Pixels
from bestiary.data.gray_squares import Gray, shrink
from bestiary.data.near_duplicates.alignment import align, align_by_keypoints
from bestiary.data.near_duplicates.evidence import SIDE, Evidence, Square, quick_detail, weigh
from bestiary.data.near_duplicates.views import Affine, invert

# The near-duplicate threshold: a pair with at least this is proved.
NEAR_DUPLICATE_PROBABILITY = 0.7
MEDIUM_SIDE = 128  # pixels
MIN_QUICK_DETAIL = 0.45  # at `MEDIUM_SIDE`; with less, the finer comparison is not worth its time
MEDIUM_STEPS = 8
FINE_STEPS = 6
MAX_CORRELATION = 0.995  # Fisher's z of a correlation of 1 has no end

# Coefficients of the rule, in the order of `features`, and its intercept.
COEFFICIENTS = (3.561, 1.611, 5.232, -8.03, -1.668, -30.72)
INTERCEPT = -25.768


class Proof(NamedTuple):
    """What a comparison on real pixels found.

    Attributes:
        probability: That the two are one photograph, 0 to 1.
        affine: The map from the partner's unit square to the image's.
        evidence: What the probability follows from.
    """

    probability: float
    affine: Affine
    evidence: Evidence


def to_square(pixels: Pixels) -> Square:
    """Resize an image to a square of `SIDE` pixels; it may be enlarged."""
    is_larger = min(pixels.shape[:2]) > SIDE
    interpolation = cv2.INTER_AREA if is_larger else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(pixels, (SIDE, SIDE), interpolation=interpolation), np.uint8)


def prove(image: Square, partner: Square, start: Affine, short_side: int = SIDE) -> Proof | None:
    """Compare two images on real pixels.

    Args:
        image: The image.
        partner: Its partner, mirrored if the two are mirror images.
        start: A coarse map from the partner's unit square to the image's.
        short_side: Of the smaller image before it became a square, in pixels.

    Returns:
        The proof; None if there is nothing to compare.
    """
    scales = _Scales.of(image)
    partner_scales = _Scales.of(partner)
    proof = _prove_from(scales, partner_scales, start, short_side)
    if proof is not None and proof.probability >= NEAR_DUPLICATE_PROBABILITY:
        return proof

    # The alignment may have ended at a wrong place: start from keypoints, in the other direction.
    other_start = align_by_keypoints(partner_scales.gray, scales.gray)
    if other_start is None:
        return proof
    other = _prove_from(partner_scales, scales, other_start, short_side)
    if other is None:
        return proof
    is_better = proof is None or other.probability > proof.probability
    return _swap(other) if is_better else proof


class _Scales(NamedTuple):
    """An image in color, in gray, and in gray at `MEDIUM_SIDE`."""

    color: Square
    gray: Gray
    small: Gray

    @classmethod
    def of(cls, square: Square) -> "_Scales":
        """Make all three."""
        gray = np.asarray(cv2.cvtColor(square, cv2.COLOR_RGB2GRAY), np.float32)
        return cls(square, gray, shrink(gray, MEDIUM_SIDE))


def _prove_from(image: _Scales, partner: _Scales, start: Affine, short_side: int) -> Proof | None:
    """Refine one alignment and weigh its evidence."""
    affine = start
    medium = align(image.small, partner.small, affine, MEDIUM_STEPS)
    if medium is not None:
        affine = medium.affine
    if quick_detail(image.small, partner.small, affine) < MIN_QUICK_DETAIL:
        return None
    fine = align(image.gray, partner.gray, affine, FINE_STEPS)
    if fine is not None:
        affine = fine.affine

    evidence = weigh(image.color, partner.color, affine, short_side)
    if evidence is None:
        return None
    return Proof(probability(evidence), affine, evidence)


def _swap(proof: Proof) -> Proof:
    """The same proof with image and partner exchanged."""
    evidence = proof.evidence
    swapped = evidence._replace(gain=1 / evidence.gain, offset=-evidence.offset)
    return Proof(proof.probability, invert(proof.affine), swapped)


def probability(evidence: Evidence) -> float:
    """Weigh the evidence."""
    log_odds = INTERCEPT
    for coefficient, feature in zip(COEFFICIENTS, features(evidence), strict=True):
        log_odds += coefficient * feature
    return 1 / (1 + math.exp(-min(max(log_odds, -50), 50)))


def features(evidence: Evidence) -> tuple[float, ...]:
    """What the rule weighs: detail as Fisher's z, numbers as logarithms."""
    return (
        _fisher_z(evidence.detail),
        _fisher_z(evidence.weak_detail),
        math.log1p(evidence.corners),
        evidence.residual,
        math.log1p(evidence.color),
        evidence.shear,
    )


def _fisher_z(correlation: float) -> float:
    return math.atanh(max(-MAX_CORRELATION, min(MAX_CORRELATION, correlation)))
