"""Make the network's view of an image: random in training, fixed in validation and prediction.

Horizontal flip, rotation and random resized crop are one affine map, so the image is sampled once.
The parameters are drawn as torchvision draws them. Where the map shrinks the image, the area of
each output pixel is averaged first (anti-aliasing). Views stay uint8: scaling to 0...1 and
normalization happen in `bestiary.model.classifier`. Knows nothing of files, labels or batches.
"""

import math
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from bestiary.data.augment import augment
from bestiary.data.decode import Pixels
from bestiary.data.resize import resize
from bestiary.recipe.choices import Augment
from bestiary.recipe.sections import ViewOptions

CROP_ATTEMPTS = 10  # random crops that may not fit, before the largest central one (torchvision)
# Pixels per sample up to which bilinear sampling alone comes near to Pillow's anti-aliasing. With
# this factor, samples lie between 0.9 and 1.7 averaged pixels apart.
SAMPLING_STEP = 1.15


class Geometry(NamedTuple):
    """Flip, then rotate about the center, then crop, in torchvision's order and units."""

    flip: bool
    angle: float  # degrees, counter-clockwise
    top: int
    left: int
    height: int
    width: int


@dataclass(frozen=True, slots=True)
class TrainView:
    """Random views for training, `size` x `size` pixels.

    Attributes:
        size: side of the view in pixels.
        flip: probability of a horizontal flip.
        rotation: largest angle in degrees, either way.
        scale: least and largest area of the crop, as a share of the image's area.
        ratio: least and largest width / height of the crop.
        augment: further changes of color and shape, see `bestiary.data.augment`.
    """

    size: int
    flip: float
    rotation: float
    scale: tuple[float, float]
    ratio: tuple[float, float]
    augment: Augment = "none"

    @classmethod
    def of(cls, options: ViewOptions) -> "TrainView":
        """Build the training view of a recipe's `options`."""
        return cls(
            size=options.size,
            flip=options.flip,
            rotation=options.rotation,
            scale=options.scale,
            ratio=options.ratio,
            augment=options.augment,
        )

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Geometry:
        """Draw flip, angle and crop, distributed as torchvision's three transforms.

        Args:
            height: of the image in pixels.
            width: of the image in pixels.
            rng: the view's own generator.

        Returns:
            The geometry of one view.
        """
        flip = rng.random() < self.flip
        angle = 0.0
        if self.rotation:
            angle = rng.uniform(-self.rotation, self.rotation)
        crop = draw_crop(height, width, self.scale, self.ratio, rng)
        return Geometry(flip, angle, *crop)

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """Make a random view, uint8 (size, size, 3), of `pixels`, uint8 (height, width, 3)."""
        height, width = pixels.shape[:2]
        geometry = self.draw(height, width, rng)
        view = apply_geometry(pixels, geometry, self.size)
        if self.augment == "none":
            return view
        return augment(view, self.augment, rng)


def draw_crop(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Draw the box of a random resized crop, as torchvision's `RandomResizedCrop.make_params`.

    Args:
        height: of the image in pixels.
        width: of the image in pixels.
        scale: least and largest share of the area.
        ratio: least and largest width / height.
        rng: the view's own generator.

    Returns:
        Top, left, height and width of the box in pixels.
    """
    min_log_ratio = math.log(ratio[0])
    max_log_ratio = math.log(ratio[1])
    for _ in range(CROP_ATTEMPTS):
        # Draw an area and an aspect ratio.
        area = height * width * rng.uniform(*scale)
        log_ratio = rng.uniform(min_log_ratio, max_log_ratio)
        aspect = math.exp(log_ratio)
        box_width = round(math.sqrt(area * aspect))
        box_height = round(math.sqrt(area / aspect))

        # Draw the position of a box that fits.
        if 0 < box_width <= width and 0 < box_height <= height:
            top = rng.integers(0, height - box_height + 1)
            left = rng.integers(0, width - box_width + 1)
            return int(top), int(left), box_height, box_width

    return _central_crop(height, width, ratio)


def _central_crop(
    height: int,
    width: int,
    ratio: tuple[float, float],
) -> tuple[int, int, int, int]:
    """Return the largest central box with a width / height within `ratio`."""
    min_ratio, max_ratio = ratio
    aspect = width / height
    box_height = height
    box_width = width
    if aspect < min_ratio:
        box_height = max(1, round(width / min_ratio))
    elif aspect > max_ratio:
        box_width = max(1, round(height * max_ratio))

    top = (height - box_height) // 2
    left = (width - box_width) // 2
    return top, left, box_height, box_width


def apply_geometry(pixels: Pixels, geometry: Geometry, size: int) -> Pixels:
    """Sample an image through a geometry. Outside of the image is black.

    Args:
        pixels: uint8 (height, width, 3).
        geometry: flip, angle and crop.
        size: side of the view in pixels.

    Returns:
        uint8 (size, size, 3).
    """
    if not geometry.angle:
        return _resized_crop(pixels, geometry, size)

    height, width = pixels.shape[:2]
    matrix = affine_map(geometry, height, width, size)
    pixels, matrix = _shrink_to_sampling(pixels, matrix, size)

    # cv2 places a pixel's center at whole numbers, the map above at halves.
    center_shift = matrix[:, :2].sum(axis=1) * 0.5 - 0.5
    matrix[:, 2] += center_shift

    # cv2 samples four channels more than twice as fast as three.
    rgba = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    rgba_view = cv2.warpAffine(
        rgba,
        matrix,
        (size, size),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
    )
    view = cv2.cvtColor(rgba_view, cv2.COLOR_RGBA2RGB)
    return np.asarray(view, np.uint8)


def _resized_crop(pixels: Pixels, geometry: Geometry, size: int) -> Pixels:
    """Crop, resize and flip. Sampling ends at the crop's edge, as torchvision crops first."""
    flip, _, top, left, height, width = geometry
    if flip:
        # The crop is drawn in the flipped image, so mirror its position instead of all pixels.
        left = pixels.shape[1] - left - width
    crop = pixels[top : top + height, left : left + width]
    view = resize(crop, size, size)
    if flip:
        view = np.asarray(cv2.flip(view, 1), np.uint8)  # a copy by negative strides takes longer
    return view


def affine_map(geometry: Geometry, height: int, width: int, size: int) -> NDArray[np.float64]:
    """Compute the affine map from the view to the image. Pixel i covers [i, i + 1).

    Args:
        geometry: flip, angle and crop.
        height: of the image in pixels.
        width: of the image in pixels.
        size: side of the view in pixels.

    Returns:
        The matrix (2, 3) that takes a point (x, y, 1) of the view to (x, y) of the image.
    """
    flip, angle, top, left, box_height, box_width = geometry
    radians = math.radians(angle)
    cos = math.cos(radians)
    sin = math.sin(radians)

    # Pixels of the crop for each pixel of the view.
    step_x = box_width / size
    step_y = box_height / size
    # The crop's corner, relative to the image's center.
    x = left - width / 2
    y = top - height / 2

    # Scale to the crop, then rotate about the image's center.
    row_x = [
        cos * step_x,
        -sin * step_y,
        cos * x - sin * y + width / 2,
    ]
    row_y = [
        sin * step_x,
        cos * step_y,
        sin * x + cos * y + height / 2,
    ]
    if flip:
        along_x, along_y, start = row_x
        row_x = [-along_x, -along_y, width - start]
    return np.array([row_x, row_y])


def _shrink_to_sampling(
    pixels: Pixels,
    matrix: NDArray[np.float64],
    size: int,
) -> tuple[Pixels, NDArray[np.float64]]:
    """Cut out what the map touches and average it to about one pixel per sample.

    Sampling then cannot alias. Blocks of whole pixels are averaged several times faster than
    fractions. Bilinear sampling between 0.9 and 1.7 pixels apart also comes nearer to Pillow's
    anti-aliasing than averaging to exactly one pixel first.

    Returns:
        The averaged region, uint8 (h, w, 3), and the map (2, 3) from the view to it.
    """
    # Pixels of the image from one sample to the next, along the image's axes.
    step_x = math.hypot(matrix[0, 0], matrix[0, 1])
    step_y = math.hypot(matrix[1, 0], matrix[1, 1])
    block_x = max(1, int(SAMPLING_STEP * step_x))
    block_y = max(1, int(SAMPLING_STEP * step_y))

    margin = 2 * max(block_x, block_y)
    region, region_map = _cut_out(pixels, matrix, size, margin)
    if block_x == block_y == 1:
        return region, region_map
    block = np.array([[block_x], [block_y]])
    averaged = _average_blocks(region, block_x, block_y)
    return averaged, region_map / block


def _cut_out(
    pixels: Pixels,
    matrix: NDArray[np.float64],
    size: int,
    margin: int,
) -> tuple[Pixels, NDArray[np.float64]]:
    """Cut out what the map touches, with a margin, and compute the map to that region."""
    height, width = pixels.shape[:2]
    row_x, row_y = matrix.tolist()
    left, right = _touched_range(row_x, size, margin, width)
    top, bottom = _touched_range(row_y, size, margin, height)
    if left >= right or top >= bottom:
        # The crop of a long image may miss the image at a large angle. The view is then black.
        black = np.zeros((1, 1, 3), np.uint8)
        return black, matrix

    region = pixels[top:bottom, left:right]
    region_map = matrix.copy()
    region_map[0, 2] -= left
    region_map[1, 2] -= top
    return region, region_map


def _touched_range(
    map_row: list[float],
    size: int,
    margin: int,
    n_pixels: int,
) -> tuple[int, int]:
    """Return the first pixel that the map touches on one axis of the image, and the end."""
    along_x, along_y, start = map_row
    span_x = along_x * size
    span_y = along_y * size
    lowest = start + min(span_x, 0) + min(span_y, 0)
    highest = start + max(span_x, 0) + max(span_y, 0)
    first = math.floor(lowest) - margin
    end = math.ceil(highest) + margin
    return max(first, 0), min(end, n_pixels)


def _average_blocks(region: Pixels, block_x: int, block_y: int) -> Pixels:
    """Average blocks of `block_y` x `block_x` pixels; the edge is repeated to fill the last."""
    missing_rows = -region.shape[0] % block_y
    missing_columns = -region.shape[1] % block_x
    if missing_rows or missing_columns:
        padded = cv2.copyMakeBorder(
            region,
            top=0,
            bottom=missing_rows,
            left=0,
            right=missing_columns,
            borderType=cv2.BORDER_REPLICATE,
        )
        region = np.asarray(padded, np.uint8)

    height, width = region.shape[:2]
    averaged_size = (width // block_x, height // block_y)
    averaged = cv2.resize(region, averaged_size, interpolation=cv2.INTER_AREA)
    return np.asarray(averaged, np.uint8)
