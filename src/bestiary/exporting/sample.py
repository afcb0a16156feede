"""A run -> some of its own images as the members see them, to compare arithmetics on. Knows
nothing of networks.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, decode, read_image
from bestiary.data.loader import loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.errors import ImageError
from bestiary.rng import keyed_rng
from bestiary.run.layout import FOLDS, MANIFEST
from bestiary.run.run import Run

BATCH = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """Some images of a run.

    Attributes:
        views: uint8 (n, size, size, 3).
        table: their rows of the manifest, with the column fold.
    """

    views: NDArray[np.uint8]
    table: pl.DataFrame

    def __len__(self) -> int:
        return len(self.views)


def shuffled_images(run: Run) -> pl.DataFrame:
    """The manifest with the column fold, without labels in doubt, in an order that the run's seed
    draws.

    Raises:
        RunError: the manifest or the folds are damaged.
    """
    table = run.read_table(MANIFEST).join(run.read_table(FOLDS), on="path", how="left")
    table = table.filter(~pl.col("label_conflict")).sort("path")
    return table[
        keyed_rng(run.read_recipe().folds.seed, "export sample", table.height).permutation(
            table.height
        )
    ]


def deal_images(
    table: pl.DataFrame, folds: Sequence[int], calibration: int, judged: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two parts of `table` that share no image: to take ranges from, and to judge by.

    Args:
        table: in the order to be taken, with the column fold.
        folds: of the members; only images that one of them held out can judge.
        calibration: how many at most to take ranges from; a half of all at most.
        judged: how many at most to judge by.
    """
    able = table["fold"].is_in(list(folds))
    judges, others = table.filter(able), table.filter(~able)
    calibration = min(calibration, table.height // 2)
    judged = min(judged, judges.height - max(0, calibration - others.height))
    return pl.concat([others, judges[judged:]])[:calibration], judges[:judged]


def read_sample(
    run: Run, view: EvalView, chosen: pl.DataFrame, tick: Callable[[int, int], None] | None = None
) -> Sample:
    """Those of the `chosen` rows whose images are still there."""
    root, failed, paths = run.read_root(), set[int](), chosen["path"].to_list()

    def view_of(row: int) -> Pixels:
        try:
            return view(decode(read_image(root / paths[row]), min_side=view.min_side))
        except ImageError:
            failed.add(row)
            return np.zeros((view.size, view.size, 3), np.uint8)

    rows = np.arange(len(paths))
    batches = [
        batch.numpy() for batch in stream_views(rows, BATCH, view_of, loader_threads("cpu"), tick)
    ]
    views = np.concatenate([np.zeros((0, view.size, view.size, 3), np.uint8), *batches])
    kept = np.array([row not in failed for row in rows], np.bool_)
    return Sample(views[kept], chosen.filter(pl.Series(kept, dtype=pl.Boolean)))


def drawn_views(size: int, count: int) -> NDArray[np.uint8]:
    """Views of nothing, smooth blots of color, for a run whose images are gone; uint8 (count,
    size, size, 3).
    """
    coarse = keyed_rng(0, "export noise").integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([EvalView(size)(blot) for blot in coarse])
