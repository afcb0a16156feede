"""A run -> some of its own pictures as the members see them, to compare arithmetics on. Knows nothing of networks."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.decode import Pixels, decode, read_picture
from bestiary.data.draws import generator
from bestiary.data.loader import loader_threads, stream_views
from bestiary.data.views import EvalView
from bestiary.errors import PictureError
from bestiary.run import Run

BATCH = 16


@dataclass(frozen=True, slots=True)
class Sample:
    """Pictures of a run in an order that its seed draws.

    Attributes:
        views: uint8 (n, size, size, 3).
        table: their rows of the manifest, with the column fold.
    """

    views: NDArray[np.uint8]
    table: pl.DataFrame

    def __len__(self) -> int:
        return len(self.views)

    def part(self, start: int, stop: int | None = None) -> "Sample":
        """Pictures `start` to before `stop`."""
        return Sample(self.views[start:stop], self.table[start:stop])


def sample_views(run: Run, view: EvalView, count: int, tick: Callable[[int, int], None] | None = None) -> Sample:
    """At most `count` of the run's pictures that are still there and whose label is not in doubt.

    Raises:
        RunError: the manifest or the folds are damaged.
    """
    manifest = run.read_table("manifest.parquet").join(run.read_table("folds.parquet"), on="path", how="left")
    manifest = manifest.filter(~pl.col("conflict")).sort("path")
    order = generator(run.recipe.folds.seed, "export sample", manifest.height).permutation(manifest.height)
    chosen, root, failed = manifest[order[:count]], run.root, set[int]()
    paths = chosen["path"].to_list()

    def view_of(row: int) -> Pixels:
        try:
            return view(decode(read_picture(root / paths[row]), min_side=view.min_side))
        except PictureError:
            failed.add(row)
            return np.zeros((view.size, view.size, 3), np.uint8)

    rows = np.arange(len(paths))
    batches = [batch.numpy() for batch in stream_views(rows, BATCH, view_of, loader_threads("cpu"), tick)]
    views = np.concatenate([np.zeros((0, view.size, view.size, 3), np.uint8), *batches])
    kept = np.array([row not in failed for row in rows], np.bool_)
    return Sample(views[kept], chosen.filter(pl.Series(kept, dtype=pl.Boolean)))


def drawn_views(size: int, count: int) -> NDArray[np.uint8]:
    """Views of nothing, smooth blots of colour, for a run whose pictures are gone; uint8 (count, size, size, 3)."""
    coarse = generator(0, "export noise").integers(0, 256, (count, 8, 8, 3), np.uint8)
    return np.stack([EvalView(size)(blot) for blot in coarse])
