"""Two gray squares and a first guess -> the affine map that aligns them, from coarse to fine.

The map maximizes the enhanced correlation coefficient (Evangelidis and Psarakis 2008,
doi:10.1109/TPAMI.2008.113). All maps are between unit squares, so one map serves every resolution.
Knows nothing of files.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.gray_squares import Gray, block_means
from bestiary.data.near_duplicates.views import Affine

BLUR = 3  # pixels of the Gaussian filter
MAX_KEYPOINTS = 400  # of each image
MIN_INLIERS = 15  # matches that agree on one map
MAX_MATCH_ERROR = 3.0  # pixels by which a match may miss it
MIN_BLOCK_OVERLAP = 0.95  # share of a block that the aligned image must cover


class Alignment(NamedTuple):
    """How two squares are aligned.

    Attributes:
        affine: The map from the partner's unit square to the image's.
        correlation: Of the aligned squares where both are, -1 to 1.
    """

    affine: Affine
    correlation: float


def align(image: Gray, partner: Gray, start: Affine, steps: int) -> Alignment | None:
    """Align an image with its partner.

    Args:
        image: Gray square (side, side).
        partner: Another of the same size.
        start: The map to start from.
        steps: Iterations at most.

    Returns:
        The alignment; None if there is none near `start` that makes the squares correlate.
    """
    side = len(partner)
    pixels = to_pixels(start, side).astype(np.float32)
    stop = (cv2.TERM_CRITERIA_COUNT | cv2.TERM_CRITERIA_EPS, steps, 1e-4)
    try:
        correlation, affine = cv2.findTransformECC(
            partner, image, pixels, cv2.MOTION_AFFINE, stop, None, BLUR
        )
    except cv2.error:
        return None
    return Alignment(to_unit(affine, side), float(correlation))


def align_by_keypoints(image: Gray, partner: Gray) -> Affine | None:
    """Align an image with its partner by matching keypoints, from no first guess.

    ORB features (Rublee and others 2011, doi:10.1109/ICCV.2011.6126544), and the affine map that
    most of their mutual matches agree on.

    Args:
        image: Gray square (side, side).
        partner: Another of the same size.

    Returns:
        The map from the partner's unit square to the image's; None if too few matches agree.
    """
    detector = cv2.ORB.create(MAX_KEYPOINTS, edgeThreshold=12, patchSize=24, fastThreshold=8)
    points, descriptors = detector.detectAndCompute(image.astype(np.uint8), None)
    partner_points, partner_descriptors = detector.detectAndCompute(partner.astype(np.uint8), None)
    if min(len(points), len(partner_points)) < MIN_INLIERS:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(
        partner_descriptors, descriptors
    )
    if len(matches) < MIN_INLIERS:
        return None
    source = np.array([partner_points[match.queryIdx].pt for match in matches], np.float32)
    goal = np.array([points[match.trainIdx].pt for match in matches], np.float32)
    # The estimate draws at random, from OpenCV's own generator with a fixed seed.
    cv2.setRNGSeed(0)
    affine, inliers = cv2.estimateAffine2D(source, goal, ransacReprojThreshold=MAX_MATCH_ERROR)
    if affine is None or inliers.sum() < MIN_INLIERS:
        return None
    return to_unit(affine, len(image))


def warp(image: NDArray[np.generic], affine: Affine) -> NDArray[np.float32]:
    """Show an image as its partner would; what lies outside repeats its border.

    Args:
        image: Square (side, side) or (side, side, channels), float32.
        affine: The map from the partner's unit square to the image's.
    """
    side = len(image)
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    pixels = to_pixels(affine, side).astype(np.float32)
    warped = cv2.warpAffine(
        image, pixels, (side, side), flags=flags, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(warped, np.float32)


def covered(affine: Affine, side: int) -> NDArray[np.bool_]:
    """Where on the partner (side, side) the image lies."""
    center = (np.arange(side) + 0.5) / side
    x, y = np.meshgrid(center, center)
    inside = np.ones((side, side), np.bool_)
    for across, down, offset in affine:
        position = across * x + down * y + offset
        inside &= (position >= 0) & (position <= 1)
    return inside


def covered_blocks(mask: NDArray[np.bool_], side: int) -> NDArray[np.bool_]:
    """Whether the image lies on nearly all of each block.

    Args:
        mask: Where it lies, as from `covered`.
        side: Side of a block in pixels.
    """
    return block_means(mask.astype(np.float32), side) > MIN_BLOCK_OVERLAP


def to_pixels(affine: Affine, side: int) -> Affine:
    """Turn a map between unit squares into one between the pixel centers of squares."""
    pixels = affine.copy()
    pixels[:, 2] = affine[:, 2] * side + (affine[:, 0] + affine[:, 1] - 1) / 2
    return pixels


def to_unit(pixels: NDArray[np.float32], side: int) -> Affine:
    """Turn a map between pixel centers into one between unit squares."""
    affine = pixels.astype(np.float64)
    affine[:, 2] = (affine[:, 2] - (affine[:, 0] + affine[:, 1] - 1) / 2) / side
    return affine
