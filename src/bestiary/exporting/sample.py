"""A run -> a sample of its images as the members see them, for int8 calibration and comparisons.

Knows nothing of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, read_image
from bestiary.data.eval_view import EvalView
from bestiary.data.loader import loader_threads, stream_views
from bestiary.display import Tick
from bestiary.errors import ImageError
from bestiary.rng import keyed_rng
from bestiary.run.images import RunImages
from bestiary.run.run import Run
from bestiary.storage.files import Readable

BATCH_SIZE = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """Some images of a run.

    Attributes:
        views: uint8 (n, size, size, 3).
        table: rows of the manifest, with the column fold.
    """

    views: NDArray[np.uint8]
    table: pl.DataFrame

    def __len__(self) -> int:
        return len(self.views)


def shuffled_manifest(run: Run) -> pl.DataFrame:
    """Read the manifest with the column fold, in an order drawn with the run's seed.

    Args:
        run: the run.

    Returns:
        Images without a label conflict.

    Raises:
        RunError: the manifest or the folds are damaged.
    """
    snapshot = run.load()
    table = snapshot.manifest.join(snapshot.fold_table, on="path", how="left")
    table = table.filter(~pl.col("label_conflict")).sort("path")
    rng = keyed_rng(snapshot.recipe.folds.seed, "export sample", table.height)
    return table[rng.permutation(table.height)]


def split_calibration(
    table: pl.DataFrame, folds: Sequence[int], n_calibration: int, n_test: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Split a table into images for int8 calibration and others to test on.

    Args:
        table: images in random order, with the column fold.
        folds: folds of the members. Only images that one of these members held out can be tested
            on.
        n_calibration: largest number of calibration images; half of all images at most.
        n_test: largest number of test images.

    Returns:
        The calibration and the test images, which have none in common.
    """
    is_held_out = table["fold"].is_in(list(folds))
    testable = table.filter(is_held_out)
    others = table.filter(~is_held_out)
    n_calibration = min(n_calibration, table.height // 2)
    # Images that cannot be tested on calibrate first.
    n_taken = max(0, n_calibration - others.height)
    n_test = min(n_test, testable.height - n_taken)
    calibration = pl.concat([others, testable[n_test:]])[:n_calibration]
    return calibration, testable[:n_test]


def read_sample(
    images: RunImages, view: EvalView, chosen: pl.DataFrame, tick: Tick | None = None
) -> Sample:
    """Read the images of some rows of the manifest; those that are gone or changed are left out.

    Args:
        images: of the run.
        view: how an image becomes the members' input.
        chosen: rows of the manifest, with the column fold.
        tick: called with (done, total) after each batch.

    Returns:
        The images that can be read.
    """
    files = [images / path for path in chosen["path"].to_list()]
    views, is_readable = _read_views(files, view, tick)
    return Sample(views[is_readable], chosen.filter(pl.Series(is_readable, dtype=pl.Boolean)))


def _read_views(
    files: Sequence[Readable], view: EvalView, tick: Tick | None
) -> tuple[Pixels, NDArray[np.bool_]]:
    """Views uint8 (n, size, size, 3) of files, and whether each can be read (n,)."""
    is_readable = np.ones(len(files), np.bool_)

    def read_view(row: int) -> Pixels:
        try:
            return view(view.decode(read_image(files[row])))
        except ImageError:
            is_readable[row] = False
            return np.zeros((view.size, view.size, 3), np.uint8)

    batches = [np.zeros((0, view.size, view.size, 3), np.uint8)]
    rows = np.arange(len(files))
    for batch in stream_views(rows, BATCH_SIZE, read_view, loader_threads("cpu"), tick):
        batches.append(batch.numpy())
    return np.concatenate(batches), is_readable


def synthetic_views(size: int, count: int) -> NDArray[np.uint8]:
    """Draw smooth blots of color, for a run whose images are gone.

    Args:
        size: side in pixels.
        count: number of views.

    Returns:
        uint8 (count, size, size, 3).
    """
    coarse = keyed_rng(0, "export noise").integers(0, 256, (count, 8, 8, 3), np.uint8)
    view = EvalView(size)
    return np.stack([view(blot) for blot in coarse])
