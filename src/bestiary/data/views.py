"""Pixels -> the network's view of them: in training, and in validation and prediction, side by
side.

Mirror image, rotation and random resized crop are one affine map. Their parameters are drawn as
torchvision draws them, and the image is sampled once; where the map shrinks the image, the area
that each output pixel covers is averaged first (anti-aliasing). Views stay uint8: scaling to 0...1
and normalization belong to the network. Knows nothing of files, labels or batches.
"""

import math
from dataclasses import dataclass
from typing import Literal, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.data.augment import Augment, augment
from bestiary.data.decode import Pixels
from bestiary.recipe.options import ViewOptions

Resize = Literal["squash", "crop"]
Interpolation = Literal["bilinear", "bicubic"]
_ENLARGE = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC}


class Geometry(NamedTuple):
    """One drawn map: mirror first, then rotate about the center, then crop (torchvision's order
    and units).
    """

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
        flip: probability of the mirror image.
        rotation: largest angle in degrees, either way.
        scale: least and largest share of the image's area that the crop keeps.
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
        """The view that a recipe asks for."""
        return cls(
            options.size,
            options.flip,
            options.rotation,
            options.scale,
            options.ratio,
            options.augment,
        )

    def draw(self, height: int, width: int, rng: np.random.Generator) -> Geometry:
        """Draw a map for an image of `height` x `width` pixels, distributed as torchvision's
        three transforms are.
        """
        flip = rng.random() < self.flip
        angle = rng.uniform(-self.rotation, self.rotation) if self.rotation else 0.0
        return Geometry(flip, angle, *draw_crop(height, width, self.scale, self.ratio, rng))

    def __call__(self, pixels: Pixels, rng: np.random.Generator) -> Pixels:
        """A random view, uint8 (size, size, 3), of `pixels`, uint8 (height, width, 3)."""
        view = apply_geometry(pixels, self.draw(pixels.shape[0], pixels.shape[1], rng), self.size)
        return augment(view, self.augment, rng) if self.augment != "none" else view


@dataclass(frozen=True, slots=True)
class EvalView:
    """The one view of an image in validation, prediction and serving, `size` x `size` pixels.

    Attributes:
        size: side of the view in pixels.
        resize: ``squash`` scales both sides to `size`; ``crop`` keeps the aspect and takes the
            center.
        crop: share of the short side that the center crop keeps.
        interpolation: how an image smaller than the view is enlarged.
    """

    size: int
    resize: Resize = "squash"
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"

    @classmethod
    def of(cls, options: ViewOptions, interpolation: Interpolation) -> "EvalView":
        """The view that a recipe asks for, enlarging as the network's weights expect."""
        return cls(options.eval_side, options.eval_resize, options.eval_crop, interpolation)

    @property
    def min_side(self) -> int:
        """Short side below which a JPEG must not be decoded: twice what the view shows, so that
        nothing is lost.
        """
        return math.ceil(2 * self.size / (self.crop if self.resize == "crop" else 1.0))

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Top, left, height and width in pixels of what the view shows of an image of `height` x
        `width`.
        """
        if self.resize == "squash":
            return 0, 0, height, width
        side = max(1, round(min(height, width) * self.crop))
        return (height - side) // 2, (width - side) // 2, side, side

    def __call__(self, pixels: Pixels) -> Pixels:
        """The view, uint8 (size, size, 3), of `pixels`, uint8 (height, width, 3)."""
        top, left, height, width = self.box(*pixels.shape[:2])
        pixels = pixels[top : top + height, left : left + width]
        return resize(pixels, self.size, self.size, self.interpolation)


def draw_crop(
    height: int,
    width: int,
    scale: tuple[float, float],
    ratio: tuple[float, float],
    rng: np.random.Generator,
) -> tuple[int, int, int, int]:
    """Draw the box of Inception's random resized crop as torchvision's
    `RandomResizedCrop.make_params` does.

    Returns:
        top, left, height and width of the box in pixels.
    """
    low, high = math.log(ratio[0]), math.log(ratio[1])
    for _ in range(10):
        area = height * width * rng.uniform(*scale)
        aspect = math.exp(rng.uniform(low, high))
        box_width, box_height = round(math.sqrt(area * aspect)), round(math.sqrt(area / aspect))
        if 0 < box_width <= width and 0 < box_height <= height:
            top = int(rng.integers(0, height - box_height + 1))
            left = int(rng.integers(0, width - box_width + 1))
            return top, left, box_height, box_width
    box_height, box_width = height, width
    if width / height < ratio[0]:
        box_height = max(1, round(width / ratio[0]))
    elif width / height > ratio[1]:
        box_width = max(1, round(height * ratio[1]))
    return (height - box_height) // 2, (width - box_width) // 2, box_height, box_width


def apply_geometry(pixels: Pixels, geometry: Geometry, size: int) -> Pixels:
    """Sample `pixels` (height, width, 3) through `geometry` into (size, size, 3); outside of the
    image is black.
    """
    flip, angle, top, left, height, width = geometry
    if (
        not angle
    ):  # a crop's own edge ends the sampling, as when torchvision crops first and resizes then
        full = pixels.shape[1]
        start = full - left - width if flip else left
        view = resize(pixels[top : top + height, start : start + width], size, size)
        return view[:, ::-1] if flip else view
    matrix = affine_map(geometry, pixels.shape[0], pixels.shape[1], size)
    pixels, matrix = _shrink_to_sampling(pixels, matrix, size)
    # cv2 places a pixel's center at whole numbers, the map above at halves.
    matrix[:, 2] += matrix[:, :2].sum(axis=1) * 0.5 - 0.5
    # cv2 samples four channels more than twice as fast as three, which pays for adding one and
    # dropping it.
    padded = cv2.cvtColor(pixels, cv2.COLOR_RGB2RGBA)
    view = cv2.warpAffine(
        padded, matrix, (size, size), flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    )
    return np.asarray(cv2.cvtColor(view, cv2.COLOR_RGBA2RGB), np.uint8)


def affine_map(geometry: Geometry, height: int, width: int, size: int) -> NDArray[np.float64]:
    """The (2, 3) matrix that takes a point (x, y, 1) of the view to the image, pixel i covering
    [i, i + 1).
    """
    flip, angle, top, left, box_height, box_width = geometry
    cos, sin = math.cos(math.radians(angle)), math.sin(math.radians(angle))
    step_x, step_y = box_width / size, box_height / size
    x, y = left - width / 2, top - height / 2  # the crop's corner, seen from the center
    across = [cos * step_x, -sin * step_y, cos * x - sin * y + width / 2]
    down = [sin * step_x, cos * step_y, sin * x + cos * y + height / 2]
    if flip:
        across = [-across[0], -across[1], width - across[2]]
    return np.array([across, down])


def _shrink_to_sampling(
    pixels: Pixels, matrix: NDArray[np.float64], size: int
) -> tuple[Pixels, NDArray[np.float64]]:
    """Cut out what the map touches and average whole pixels of it to about one a sample, so that
    sampling cannot alias.

    Whole numbers of pixels are averaged several times faster than fractions, and sampling
    bilinearly between 0.9 and 1.7 pixels apart comes nearer to Pillow's anti-aliased path than
    averaging to exactly one and sampling then.
    """
    (xx, xy, x), (yx, yy, y) = matrix.tolist()
    # Pixels of the image from one sample to the next, along its own axes.
    whole_x, whole_y = (
        max(1, int(1.15 * math.hypot(xx, xy))),
        max(1, int(1.15 * math.hypot(yx, yy))),
    )
    margin = 2 * max(whole_x, whole_y)
    x0 = max(math.floor(x + min(xx, 0) * size + min(xy, 0) * size) - margin, 0)
    y0 = max(math.floor(y + min(yx, 0) * size + min(yy, 0) * size) - margin, 0)
    x1 = min(math.ceil(x + max(xx, 0) * size + max(xy, 0) * size) + margin, pixels.shape[1])
    y1 = min(math.ceil(y + max(yx, 0) * size + max(yy, 0) * size) + margin, pixels.shape[0])
    if x0 >= x1 or y0 >= y1:  # turned far, the crop of a long image may miss it: all is black
        return np.zeros((1, 1, 3), np.uint8), np.array([[0.0, 0.0, -9.0], [0.0, 0.0, -9.0]])
    region = pixels[y0:y1, x0:x1]
    moved = np.array([[xx, xy, x - x0], [yx, yy, y - y0]])
    if whole_x == whole_y == 1:
        return region, moved
    below, beside = -region.shape[0] % whole_y, -region.shape[1] % whole_x
    if below or beside:
        region = np.asarray(
            cv2.copyMakeBorder(region, 0, below, 0, beside, cv2.BORDER_REPLICATE), np.uint8
        )
    small = (region.shape[1] // whole_x, region.shape[0] // whole_y)
    region = np.asarray(cv2.resize(region, small, interpolation=cv2.INTER_AREA), np.uint8)
    return region, moved / np.array([[whole_x], [whole_y]])


def resize(
    pixels: Pixels, height: int, width: int, interpolation: Interpolation = "bilinear"
) -> Pixels:
    """Resize (h, w, 3) to (height, width, 3): anti-aliased as torchvision does where a side
    shrinks, else as asked.
    """
    low_height, low_width = min(height, pixels.shape[0]), min(width, pixels.shape[1])
    if (low_height, low_width) != pixels.shape[:2]:
        pixels = _shrink(pixels, low_height, low_width)
    if (height, width) != pixels.shape[:2]:
        pixels = np.asarray(
            cv2.resize(pixels, (width, height), interpolation=_ENLARGE[interpolation]), np.uint8
        )
    return pixels


def _shrink(pixels: Pixels, height: int, width: int) -> Pixels:
    """PyTorch's triangle filter for bytes, a third of the time of cv2's average over areas by a
    fraction.
    """
    if not pixels.flags.writeable or min(pixels.strides) < 0:  # which PyTorch does not take
        pixels = pixels.copy()
    batch = torch.from_numpy(pixels).permute(2, 0, 1)[None]
    shrunk = functional.interpolate(batch, (height, width), mode="bilinear", antialias=True)
    return np.asarray(shrunk[0].permute(1, 2, 0).numpy(), np.uint8)


def side_kept(short: int, side: int) -> int:
    """The short side in pixels that is kept of an image's `short`, where `side` is asked for.

    An image less than a quarter larger stays as it is: shrinking by so little costs more than it
    saves, and blurs.
    """
    return side if short >= 1.25 * side else short


def shrink_to_side(pixels: Pixels, side: int) -> Pixels:
    """Shrink (h, w, 3) so that its short side is about `side` pixels, see `side_kept`; none is
    enlarged.
    """
    height, width = pixels.shape[:2]
    short = min(height, width)
    kept = side_kept(short, side)
    if kept == short:
        return pixels
    return resize(pixels, max(1, round(height * kept / short)), max(1, round(width * kept / short)))
