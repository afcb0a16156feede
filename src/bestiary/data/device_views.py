"""Images and drawn maps -> a batch of training views, sampled where the network computes.

The same affine map as `bestiary.data.views` makes on the CPU, for a whole batch in one operation on
its device: useful where a fast GPU has few cores beside it, which then only read images. Knows
nothing of files, labels or networks.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from torch.nn import functional

from bestiary.data.decode import Pixels
from bestiary.data.loader import Rows, run_ahead
from bestiary.data.views import Geometry, TrainView, affine_map
from bestiary.data.workers import Workers

# Samples along each side of an output pixel, at most: from a store whose images have 1.5 times the
# view's side a crop shrinks by less than this unless the image is very long.
MOST_SAMPLES = 4


class PaddedBatch(NamedTuple):
    """A batch of images in the upper left corners of one tensor, and how each is to be seen.

    Attributes:
        pixels: uint8 (n, height, width, 3).
        maps: float32 (n, 2, 3), view -> image in pixels, pixel i covering [i, i + 1).
        bounds: float32 (n, 2, 2), least and largest x, least and largest y that may be sampled.
        samples: along each side of an output pixel, as many as keep shrinking from aliasing.
        size: side of the views in pixels.
        rows: that the images were made of, (n,).
    """

    pixels: torch.Tensor
    maps: torch.Tensor
    bounds: torch.Tensor
    samples: int
    size: int
    rows: Rows

    def on(self, device: torch.device) -> torch.Tensor:
        """The views, uint8 (n, size, size, 3), on `device`."""
        pixels, maps, bounds = (
            t.to(device, non_blocking=True) for t in (self.pixels, self.maps, self.bounds)
        )
        return sample_views(pixels, maps, bounds, self.samples, self.size)


def load_padded_batches(
    batches: Sequence[Rows],
    pixels_of: Callable[[int], Pixels],
    view: TrainView,
    rng_of: Callable[[int], np.random.Generator],
    threads: int,
    *,
    pin: bool = False,
) -> Iterator[PaddedBatch]:
    """The canvases of `batches` in order, made ahead by a number of threads; other arguments as of
    `pad_batch`.

    Raises:
        DataError: a batch takes too long, see `bestiary.data.workers`.
    """
    with Workers(threads) as workers:
        jobs = (partial(pad_batch, rows, pixels_of, view, rng_of, pin=pin) for rows in batches)
        yield from run_ahead(workers, threads, jobs)


def pad_batch(
    rows: Rows,
    pixels_of: Callable[[int], Pixels],
    view: TrainView,
    rng_of: Callable[[int], np.random.Generator],
    *,
    pin: bool = False,
) -> PaddedBatch:
    """Read the images of a batch and draw their maps, as `TrainView` draws them.

    Args:
        rows: of the batch.
        pixels_of: row -> image, uint8 (height, width, 3).
        view: what to draw; its `augment` must be none.
        rng_of: row -> the generator that its view is drawn by.
        pin: keep the tensor in page-locked memory, from which a GPU copies without waiting.
    """
    images = [pixels_of(int(row)) for row in rows]
    height, width = (max(image.shape[axis] for image in images) for axis in (0, 1))
    canvas = torch.zeros((len(rows), height, width, 3), dtype=torch.uint8, pin_memory=pin)
    maps, bounds, step = (
        np.empty((len(rows), 2, 3), np.float32),
        np.empty((len(rows), 2, 2), np.float32),
        1.0,
    )
    for place, (row, image) in enumerate(zip(rows, images, strict=True)):
        high, wide = image.shape[:2]
        canvas[place, :high, :wide] = torch.from_numpy(np.ascontiguousarray(image))
        geometry = view.draw(high, wide, rng_of(int(row)))
        maps[place] = affine_map(geometry, high, wide, view.size)
        bounds[place] = _bounds(geometry, high, wide)
        step = max(step, *np.hypot(maps[place, :, 0], maps[place, :, 1]))
    samples = min(MOST_SAMPLES, math.ceil(step - 1e-3))
    return PaddedBatch(
        canvas, torch.from_numpy(maps), torch.from_numpy(bounds), samples, view.size, rows
    )


def sample_views(
    pixels: torch.Tensor, maps: torch.Tensor, bounds: torch.Tensor, samples: int, size: int
) -> torch.Tensor:
    """Sample every image through its map; arguments as the attributes of `PaddedBatch`, on one
    device.

    An output pixel is the mean of `samples` x `samples` bilinear samples, which approaches the mean
    over the area that it covers. Outside of the images is black.

    Returns:
        uint8 (n, size, size, 3).
    """
    height, width = pixels.shape[1:3]
    # Samples spread over what the bilinear kernel, one pixel of the image wide, does not cover
    # itself: where a image is not shrunk they fall together.
    steps = torch.linalg.vector_norm(
        maps[:, :, :2], dim=1
    )  # (n, 2): pixels of the image to one of the view
    spread = 1 - 1 / steps.clamp(min=1)
    offsets = (torch.arange(samples, device=pixels.device) + 0.5) / samples - 0.5
    centers = torch.arange(size, device=pixels.device) + 0.5
    # (n, 2, size * samples): x of the columns and y of the rows, in pixels of the view
    seen = (centers[:, None] + spread[:, :, None, None] * offsets).flatten(2)
    x, y = seen[:, 0, None, :], seen[:, 1, :, None]
    m = maps[:, :, :, None, None]
    places = torch.stack([m[:, i, 0] * x + m[:, i, 1] * y + m[:, i, 2] for i in (0, 1)], dim=3)
    low, high = bounds[:, None, None, :, 0], bounds[:, None, None, :, 1]
    places = torch.minimum(torch.maximum(places, low), high)
    extent = torch.tensor([width, height], dtype=places.dtype, device=places.device)
    images = pixels.permute(0, 3, 1, 2).float()
    # -1 and 1 are the outer edges of the canvas, as align_corners=False has it.
    fine_views = functional.grid_sample(
        images, 2 * places / extent - 1, "bilinear", "zeros", align_corners=False
    )
    views = functional.avg_pool2d(fine_views, samples) if samples > 1 else fine_views
    return views.add_(0.5).clamp_(0, 255).to(torch.uint8).permute(0, 2, 3, 1)


def _bounds(geometry: Geometry, height: int, width: int) -> list[list[float]]:
    """What may be sampled: the crop alone where nothing is turned, as when it is cut out first;
    else everything.

    A turned image's edge blends into the black around it. The canvas is black beyond the image, so
    that this holds where the image does not fill it.
    """
    if geometry.angle:
        return [[-math.inf, math.inf], [-math.inf, math.inf]]
    left = width - geometry.left - geometry.width if geometry.flip else geometry.left
    return [
        [left + 0.5, left + geometry.width - 0.5],
        [geometry.top + 0.5, geometry.top + geometry.height - 0.5],
    ]
