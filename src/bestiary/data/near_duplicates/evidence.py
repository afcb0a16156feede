"""Two aligned color squares -> evidence that they show one photograph, which outlines cannot fake.

Two specimens in one pose have one outline, and the alignment fits it. So the evidence is the fine
detail inside the subject, block by block. An edge alone aligns with any edge, so blocks with detail
in two directions are counted. Color, brightness and the kind of map are evidence too. Knows nothing
of how the evidence is weighed.
"""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.gray_squares import Gray, block_means
from bestiary.data.near_duplicates.alignment import covered, covered_blocks, warp
from bestiary.data.near_duplicates.views import Affine

Square = NDArray[np.uint8]  # RGB (SIDE, SIDE, 3)

SIDE = 256  # pixels
SHARP_SIDE = 80  # pixels; the detail of a smaller image is looked for on a coarser scale
BLOCK_SIDE = 16  # pixels
MIN_COVERAGE = 0.25  # share of the blocks that must be covered
NOISE_SIGMA = 1.0  # pixels; finer detail is noise and the marks of JPEG
DETAIL_SIGMA = 4.0  # pixels; coarser structure is no detail
MIN_DETAIL_VARIANCE = 4.0  # of gray levels; a block with less has no detail
MIN_CORNER_RATIO = 0.1  # of the two directions of a block's gradients; less is an edge
MAX_STRENGTH = 1.5  # of color, in one image over the other
COARSE_STEP = 4  # pixels between the points at which color and brightness are compared


class Evidence(NamedTuple):
    """What speaks for and against one photograph.

    Attributes:
        detail: Mean correlation of the fine detail of detailed blocks, -1 to 1.
        weak_detail: The same of the block at the lowest quarter.
        corners: Number of blocks with detail in two directions.
        residual: Mean brightness difference once a tone curve is fitted, in deviations.
        color: Mean disagreement of the color differences R - G and B - G, in levels.
        shear: Cosine of the angle between the image's axes once mapped, 0 for none.
        gain: Contrast of the partner, over that of the image.
        offset: Mean brightness of the partner less that of the image, in levels.
    """

    detail: float
    weak_detail: float
    corners: int
    residual: float
    color: float
    shear: float
    gain: float
    offset: float


def weigh(
    image: Square, partner: Square, affine: Affine, short_side: int = SIDE
) -> Evidence | None:
    """Gather the evidence of two aligned squares.

    Args:
        image: The image.
        partner: Its partner.
        affine: The map from the partner's unit square to the image's.
        short_side: Of the smaller image before it became a square, in pixels. An enlarged image
            has no detail finer than that.

    Returns:
        The evidence; None if the squares hardly overlap or no block has detail.
    """
    mask = covered(affine, SIDE)
    is_covered = covered_blocks(mask, BLOCK_SIDE)
    if is_covered.mean() < MIN_COVERAGE:
        return None
    aligned = warp(image.astype(np.float32), affine)
    part = partner.astype(np.float32)

    scale = max(1.0, SHARP_SIDE / short_side)
    aligned_detail = _fine_detail(aligned, scale)
    part_detail = _fine_detail(part, scale)
    correlation, is_detailed = _compare_detail(aligned_detail, part_detail)
    compared = is_covered & is_detailed
    if not compared.any():
        return None

    has_corner = _has_corner(aligned_detail) & _has_corner(part_detail)
    colors = _coarse_points(aligned, mask)
    part_colors = _coarse_points(part, mask)
    residual, gain, offset = _compare_brightness(colors, part_colors)
    return Evidence(
        detail=float(correlation[compared].mean()),
        weak_detail=float(np.percentile(correlation[compared], 25)),
        corners=int((has_corner & compared).sum()),
        residual=residual,
        color=_compare_color(colors, part_colors),
        shear=_shear(affine),
        gain=gain,
        offset=offset,
    )


def quick_detail(gray: Gray, partner: Gray, affine: Affine) -> float:
    """Correlate the fine detail of two gray squares of half of `SIDE`, as `Evidence.detail`.

    Args:
        gray: The image.
        partner: Its partner.
        affine: The map from the partner's unit square to the image's.

    Returns:
        The mean correlation; 0 if no covered block has detail.
    """
    aligned = warp(gray, affine)
    correlation, is_detailed = _compare_detail(_fine_gray(aligned, 0.5), _fine_gray(partner, 0.5))
    compared = is_detailed & covered_blocks(covered(affine, len(gray)), BLOCK_SIDE)
    return float(correlation[compared].mean()) if compared.any() else 0.0


def _fine_detail(image: NDArray[np.float32], scale: float) -> Gray:
    return _fine_gray(cv2.cvtColor(image, cv2.COLOR_RGB2GRAY), scale)


def _fine_gray(gray: NDArray[np.generic], scale: float) -> Gray:
    smooth = cv2.GaussianBlur(gray, None, scale * NOISE_SIGMA)
    return np.asarray(smooth - cv2.GaussianBlur(gray, None, scale * DETAIL_SIGMA), np.float32)


def _compare_detail(a: Gray, b: Gray) -> tuple[Gray, NDArray[np.bool_]]:
    """Correlate the detail of each block, and tell which blocks have any."""
    variance_a = block_means(a * a, BLOCK_SIDE)
    variance_b = block_means(b * b, BLOCK_SIDE)
    covariance = block_means(a * b, BLOCK_SIDE)
    floored_a = np.maximum(variance_a, 1)
    floored_b = np.maximum(variance_b, 1)
    correlation = covariance / np.sqrt(floored_a * floored_b)
    is_detailed = np.maximum(variance_a, variance_b) > MIN_DETAIL_VARIANCE
    return correlation, is_detailed


def _has_corner(detail: Gray) -> NDArray[np.bool_]:
    """Whether the gradients of each block point in two directions."""
    across = cv2.Sobel(detail, cv2.CV_32F, 1, 0)
    down = cv2.Sobel(detail, cv2.CV_32F, 0, 1)
    xx = block_means(across * across, BLOCK_SIDE)
    yy = block_means(down * down, BLOCK_SIDE)
    xy = block_means(across * down, BLOCK_SIDE)
    half_sum = (xx + yy) / 2
    half_range = np.sqrt(((xx - yy) / 2) ** 2 + xy**2)
    is_detailed = block_means(detail * detail, BLOCK_SIDE) > MIN_DETAIL_VARIANCE
    has_corner: NDArray[np.bool_] = half_sum - half_range > MIN_CORNER_RATIO * (
        half_sum + half_range
    )
    return has_corner & is_detailed


def _compare_brightness(
    colors: NDArray[np.float32], part_colors: NDArray[np.float32]
) -> tuple[float, float, float]:
    """Fit a tone curve: the residual in deviations of `part_colors`, gain and offset."""
    x = colors.mean(axis=1)
    y = part_colors.mean(axis=1)
    tone = (x - x.mean()) / (x.std() + 1)
    terms = np.stack([np.ones_like(tone), tone, tone * tone], axis=1)
    curve = np.linalg.lstsq(terms, y, rcond=None)[0]
    residual = np.abs(y - terms @ curve).mean() / (y.std() + 1)
    gain = (y.std() + 1) / (x.std() + 1)
    return float(residual), float(gain), float(y.mean() - x.mean())


def _compare_color(colors: NDArray[np.float32], part_colors: NDArray[np.float32]) -> float:
    """Compare colors once their strength is fitted."""
    color_x = colors[:, [0, 2]] - colors[:, [1]]
    color_y = part_colors[:, [0, 2]] - part_colors[:, [1]]
    strength = (color_x * color_y).sum() / ((color_x * color_x).sum() + len(colors))
    fitted = np.clip(strength, 1 / MAX_STRENGTH, MAX_STRENGTH) * color_x
    return float(np.abs(color_y - fitted).mean())


def _coarse_points(image: NDArray[np.float32], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """The smoothed colors (points, 3) of the covered points of a coarse grid."""
    size = (SIDE // COARSE_STEP, SIDE // COARSE_STEP)
    coarse = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    is_covered = mask[COARSE_STEP // 2 :: COARSE_STEP, COARSE_STEP // 2 :: COARSE_STEP]
    return np.asarray(coarse[is_covered], np.float32)


def _shear(affine: Affine) -> float:
    x_axis = affine[:, 0]
    y_axis = affine[:, 1]
    lengths = float(np.linalg.norm(x_axis) * np.linalg.norm(y_axis))
    return abs(float(x_axis @ y_axis)) / max(lengths, 1e-9)
