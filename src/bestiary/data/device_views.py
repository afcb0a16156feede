"""Make a batch of training views on the network's device: pad images, then sample all at once.

The affine map is the one that `bestiary.data.views` makes on the CPU. One operation samples the
whole batch. This helps a fast GPU with few CPU cores, which then only read images. Knows nothing
of files, labels or networks.
"""

import math
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future
from functools import partial
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.data.decode import Pixels
from bestiary.data.loader import Rows
from bestiary.data.views import Geometry, TrainView, affine_map
from bestiary.data.workers import Workers
from bestiary.model.transfer import send

# The most samples along each side of an output pixel. A store keeps images of 1.5 times the view's
# side, so a crop shrinks by less than this unless the image is very long.
MAX_SAMPLES = 4
MAX_WAITING = 2  # batches that are ready before they are asked for


class PaddedBatch(NamedTuple):
    """Images in the upper left corners of one tensor, and the map of each view.

    Attributes:
        pixels: uint8 (n, height, width, 3).
        maps: float32 (n, 2, 3), view -> image in pixels, pixel i covering [i, i + 1).
        bounds: float32 (n, 2, 2), least and largest x, least and largest y that may be sampled.
        samples: samples along each side of an output pixel, enough to prevent aliasing.
        size: side of the views in pixels.
        rows: row of each image in the dataset, (n,).
    """

    pixels: torch.Tensor
    maps: torch.Tensor
    bounds: torch.Tensor
    samples: int
    size: int
    rows: Rows

    def on(self, device: torch.device) -> torch.Tensor:
        """Sample the views, uint8 (n, size, size, 3), on `device`."""
        return sample_views(
            send(self.pixels, device),
            send(self.maps, device),
            send(self.bounds, device),
            self.samples,
            self.size,
        )


def load_padded_batches(
    batches: Sequence[Rows],
    pixels_of: Callable[[int], Pixels],
    view: TrainView,
    rng_of: Callable[[int], np.random.Generator],
    threads: int,
    *,
    pin: bool = False,
) -> Iterator[PaddedBatch]:
    """Prefetch padded batches with worker threads.

    Args:
        batches: rows of each batch.
        pixels_of: row -> image, uint8 (height, width, 3).
        view: what to draw; its `augment` must be none.
        rng_of: row -> the generator of its view.
        threads: number of worker threads.
        pin: use page-locked memory, from which a GPU copies without waiting.

    Yields:
        The padded batches, in order.

    Raises:
        DataError: a batch takes too long, see `bestiary.data.workers`.
    """
    jobs = (
        partial(
            pad_batch,
            rows,
            pixels_of,
            view,
            rng_of,
            pin=pin,
        )
        for rows in batches
    )
    with Workers(threads) as workers:
        yield from _prefetch(workers, threads, jobs)


def _prefetch(
    workers: Workers, threads: int, jobs: Iterable[Callable[[], PaddedBatch]]
) -> Iterator[PaddedBatch]:
    """Run jobs in worker threads, ahead of the consumer of their results.

    A padded batch of 64 images takes 50 MB of page-locked memory, so each thread has one under way,
    and few wait for the consumer.
    """
    pending: deque[Future[PaddedBatch]] = deque()
    for job in jobs:
        pending.append(workers.submit(job))
        if len(pending) > threads + MAX_WAITING:
            yield workers.wait_for(pending.popleft())

    while pending:
        yield workers.wait_for(pending.popleft())


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
        rng_of: row -> the generator of its view.
        pin: use page-locked memory, from which a GPU copies without waiting.

    Returns:
        The batch, on the CPU.
    """
    images = [pixels_of(int(row)) for row in rows]
    rngs = [rng_of(int(row)) for row in rows]
    maps, bounds = _draw_maps(images, view, rngs)
    return PaddedBatch(
        pixels=_pad_images(images, pin),
        maps=torch.from_numpy(maps),
        bounds=torch.from_numpy(bounds),
        samples=_count_samples(maps),
        size=view.size,
        rows=rows,
    )


def _draw_maps(
    images: list[Pixels],
    view: TrainView,
    rngs: list[np.random.Generator],
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Draw the geometry of each view. Return maps and bounds, see `PaddedBatch`."""
    n_images = len(images)
    maps = np.empty((n_images, 2, 3), np.float32)
    bounds = np.empty((n_images, 2, 2), np.float32)

    for index, image in enumerate(images):
        height, width = image.shape[:2]
        geometry = view.draw(height, width, rngs[index])
        maps[index] = affine_map(geometry, height, width, view.size)
        bounds[index] = _bounds(geometry, width)
    return maps, bounds


def _count_samples(maps: NDArray[np.float32]) -> int:
    """Count the samples per side of an output pixel that the strongest shrink needs."""
    # Pixels of an image for each pixel of its view.
    along_x = maps[:, :, 0]
    along_y = maps[:, :, 1]
    steps = np.hypot(along_x, along_y)
    largest_step = max(1.0, steps.max())

    samples: int = math.ceil(largest_step - 1e-3)
    return min(MAX_SAMPLES, samples)


def _pad_images(images: list[Pixels], pin: bool) -> torch.Tensor:
    """Copy the images into one tensor, uint8 (n, height, width, 3), black beyond each image."""
    max_height = max(image.shape[0] for image in images)
    max_width = max(image.shape[1] for image in images)
    shape = (len(images), max_height, max_width, 3)
    pixels = torch.zeros(shape, dtype=torch.uint8, pin_memory=pin)

    # By NumPy: PyTorch would copy with all its threads, in each of the loader's.
    array = pixels.numpy()
    for index, image in enumerate(images):
        height, width = image.shape[:2]
        array[index, :height, :width] = image
    return pixels


def sample_views(
    pixels: torch.Tensor,
    maps: torch.Tensor,
    bounds: torch.Tensor,
    samples: int,
    size: int,
) -> torch.Tensor:
    """Sample every image through its map. Outside of the images is black.

    An output pixel is the mean of `samples` x `samples` bilinear samples, which approaches the
    mean over the area that it covers.

    Args:
        pixels: uint8 (n, height, width, 3).
        maps: float32 (n, 2, 3), see `PaddedBatch`.
        bounds: float32 (n, 2, 2), see `PaddedBatch`.
        samples: samples along each side of an output pixel.
        size: side of the views in pixels.

    Returns:
        uint8 (n, size, size, 3), on the device of `pixels`.
    """
    # Where to sample.
    points = _sample_points(maps, samples, size)
    low = bounds[:, None, None, :, 0]
    high = bounds[:, None, None, :, 1]
    points = torch.maximum(points, low)
    points = torch.minimum(points, high)
    height, width = pixels.shape[1:3]
    grid = _sampling_grid(points, height, width)

    # Sample all images.
    images = pixels.permute(0, 3, 1, 2).float()
    views = functional.grid_sample(
        images,
        grid,
        mode="bilinear",
        padding_mode="zeros",
        align_corners=False,
    )

    # Average the samples of each output pixel, then round.
    if samples > 1:
        views = functional.avg_pool2d(views, samples)
    views.add_(0.5).clamp_(0, 255)
    return views.to(torch.uint8).permute(0, 2, 3, 1)


def _sampling_grid(points: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """Scale points in pixels to -1...1, the outer edges of the padded images."""
    # Two numbers and no tensor of them: copying one to a GPU would wait for all of its work.
    x, y = points.unbind(dim=3)
    return torch.stack([2 * x / width - 1, 2 * y / height - 1], dim=3)


def _sample_points(maps: torch.Tensor, samples: int, size: int) -> torch.Tensor:
    """Compute the x and y of every sample, (n, size * samples, size * samples, 2), in pixels."""
    view_points = _view_points(maps, samples, size)
    x = view_points[:, 0, None, :]
    y = view_points[:, 1, :, None]
    coefficients = maps[:, :, :, None, None]
    axes = []
    for axis in (0, 1):
        along_x = coefficients[:, axis, 0]
        along_y = coefficients[:, axis, 1]
        start = coefficients[:, axis, 2]
        axes.append(along_x * x + along_y * y + start)
    return torch.stack(axes, dim=3)


def _view_points(maps: torch.Tensor, samples: int, size: int) -> torch.Tensor:
    """Compute the x of the columns and the y of the rows of samples, (n, 2, size * samples).

    Both are in pixels of the view. The bilinear kernel is one pixel of the image wide. The samples
    of a pixel spread over what this kernel does not cover. They coincide where an image is not
    shrunk.
    """
    # The shrink of each image: its pixels for each pixel of the view, (n, 2).
    scales = maps[:, :, :2]
    steps = torch.linalg.vector_norm(scales, dim=1)
    spread = 1 - 1 / steps.clamp(min=1)

    # Samples lie around the center of each pixel.
    sample_centers = torch.arange(samples, device=maps.device) + 0.5
    offsets = sample_centers / samples - 0.5
    spread_offsets = spread[:, :, None, None] * offsets
    pixel_centers = torch.arange(size, device=maps.device) + 0.5
    points: torch.Tensor = pixel_centers[:, None] + spread_offsets
    return points.flatten(2)


def _bounds(geometry: Geometry, width: int) -> list[list[float]]:
    """Return the least and largest x, and y, that may be sampled.

    Without rotation that is the crop, as if it were cut out first. With rotation it is everything:
    a rotated image's edge blends into the black around it. The tensor is black beyond an image, so
    this is true for a small one too.
    """
    if geometry.angle:
        unlimited = [-math.inf, math.inf]
        return [unlimited, unlimited]

    top = geometry.top
    left = geometry.left
    if geometry.flip:
        left = width - geometry.left - geometry.width
    return [
        [left + 0.5, left + geometry.width - 0.5],
        [top + 0.5, top + geometry.height - 0.5],
    ]
