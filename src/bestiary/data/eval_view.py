"""Make the network's fixed view of an image, in validation, prediction and serving.

It says how an image file is decoded too, and travels with the weights. Random views for training
are in `bestiary.data.views`. Knows nothing of labels or batches.
"""

import math
from dataclasses import dataclass

from bestiary.data.bit_depth import FULL_RANGE, WhiteLevel
from bestiary.data.decode import DecodingNotes, Pixels, decode
from bestiary.data.resize import resize
from bestiary.recipe.choices import Interpolation, Resize
from bestiary.recipe.sections import ViewOptions


@dataclass(frozen=True, slots=True)
class EvalView:
    """The view of an image in validation, prediction and serving, `size` x `size` pixels.

    Attributes:
        size: side of the view in pixels.
        resize: ``squash`` ignores the aspect ratio; ``crop`` keeps it and takes the center.
        crop: side of the center crop, as a share of the short side.
        interpolation: how an image smaller than the view is enlarged.
        white_level: value of white in images of more than 8 bits that do not state it.
        white_level_float: the same in images of floating-point numbers.
    """

    size: int
    resize: Resize = "squash"
    crop: float = 1.0
    interpolation: Interpolation = "bilinear"
    white_level: float = FULL_RANGE.integers
    white_level_float: float = FULL_RANGE.floats

    @classmethod
    def of(cls, options: ViewOptions, interpolation: Interpolation) -> "EvalView":
        """Build the evaluation view of a recipe's `options`.

        Args:
            options: size, resize and crop.
            interpolation: how the network's weights expect a small image to be enlarged.

        Returns:
            The view.
        """
        return cls(
            size=options.eval_side,
            resize=options.eval_resize,
            crop=options.eval_crop,
            interpolation=interpolation,
            white_level=white_of(options).integers,
            white_level_float=white_of(options).floats,
        )

    @property
    def white(self) -> WhiteLevel:
        """The value of white in images of more than 8 bits that do not state it."""
        return WhiteLevel(self.white_level, self.white_level_float)

    def decode(self, content: bytes, notes: DecodingNotes | None = None) -> Pixels:
        """Decode an image file to pixels that this view can be made of.

        Args:
            content: the whole file.
            notes: takes what was assumed of the image.

        Returns:
            uint8 array (height, width, 3).

        Raises:
            ImageError: it is not an image, is damaged or too large.
        """
        return decode(
            content,
            min_side=self.min_side,
            white=self.white,
            notes=notes,
        )

    @property
    def min_side(self) -> int:
        """Least short side of a decoded JPEG: two pixels for each pixel of the view."""
        share = self.crop if self.resize == "crop" else 1.0
        return math.ceil(2 * self.size / share)

    def box(self, height: int, width: int) -> tuple[int, int, int, int]:
        """Return what the view shows of an image.

        Args:
            height: of the image in pixels.
            width: of the image in pixels.

        Returns:
            Top, left, height and width in pixels.
        """
        if self.resize == "squash":
            return 0, 0, height, width
        short = min(height, width)
        side = max(1, round(short * self.crop))
        top = (height - side) // 2
        left = (width - side) // 2
        return top, left, side, side

    def __call__(self, pixels: Pixels) -> Pixels:
        """Make the view, uint8 (size, size, 3), of `pixels`, uint8 (height, width, 3)."""
        image_height, image_width = pixels.shape[:2]
        top, left, height, width = self.box(image_height, image_width)
        region = pixels[top : top + height, left : left + width]
        return resize(region, self.size, self.size, self.interpolation)


def white_of(options: ViewOptions) -> WhiteLevel:
    """Return the value of white that a recipe states, the full range where it states none."""
    return WhiteLevel(
        integers=options.white_level or FULL_RANGE.integers,
        floats=options.white_level_float or FULL_RANGE.floats,
    )
