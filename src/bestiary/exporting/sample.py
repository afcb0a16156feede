"""A run -> some of its own pictures as the members see them, to compare arithmetics on. Knows nothing of networks."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, decode, read_picture
from bestiary.data.loader import loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.errors import PictureError
from bestiary.rng import generator
from bestiary.run.run import Run

BATCH = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """Some pictures of a run.

    Attributes:
        views: uint8 (n, size, size, 3).
        table: their rows of the manifest, with the column fold.
    """

    views: NDArray[np.uint8]
    table: pl.DataFrame

    def __len__(self) -> int:
        return len(self.views)


def shuffled_pictures(run: Run) -> pl.DataFrame:
    """The manifest with the column fold, without labels in doubt, in an order that the run's seed draws.

    Raises:
        RunError: the manifest or the folds are damaged.
    """
    table = run.read_table("manifest.parquet").join(
        run.read_table("folds.parquet"), on="path", how="left"
    )
    table = table.filter(~pl.col("conflict")).sort("path")
    return table[
        generator(run.recipe.folds.seed, "export sample", table.height).permutation(table.height)
    ]


def deal_pictures(
    table: pl.DataFrame, folds: Sequence[int], calibration: int, judged: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Two parts of `table` that share no picture: to take ranges from, and to judge by.

    Args:
        table: in the order to be taken, with the column fold.
        folds: of the members; only pictures that one of them held out can judge.
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
    """Those of the `chosen` rows whose pictures are still there."""
    root, failed, paths = run.root, set[int](), chosen["path"].to_list()

    def view_of(row: int) -> Pixels:
        try:
            return view(decode(read_picture(root / paths[row]), min_side=view.min_side))
        except PictureError:
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
    """Views of nothing, smooth blots of colour, for a run whose pictures are gone; uint8 (count, size, size, 3)."""
    coarse = generator(0, "export noise").integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([EvalView(size)(blot) for blot in coarse])
