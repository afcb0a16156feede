"""Read and write unlabeled.parquet: frozen features of the unlabeled images that heads learn from.

The features are kept, not the folder: a run that is resumed, on another machine too, needs neither
the images nor their place. Knows nothing of how features are computed.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.errors import DamagedError
from bestiary.run.layout import UNLABELED
from bestiary.run.run import Run

MAX_IMAGES = 100_000  # of 1,280 features each, half a gigabyte


def write_unlabeled(run: Run, paths: pl.Series, features: NDArray[np.float32]) -> None:
    """Write the features of unlabeled images, before the run's recipe is written.

    Args:
        run: that is begun.
        paths: of the images, text (images,); they are only shown.
        features: (images, features).
    """
    dtype = pl.Array(pl.Float32, features.shape[1])
    table = pl.DataFrame({"path": paths, "features": pl.Series(features, dtype=dtype)})
    run.write_table(UNLABELED, table)


def read_unlabeled(run: Run) -> NDArray[np.float32] | None:
    """Read the features of a run's unlabeled images.

    Args:
        run: with its starting files.

    Returns:
        (images, features); None if the run has no unlabeled images.

    Raises:
        DamagedError: the file is damaged, or holds no features.
    """
    file = run.file(UNLABELED)
    if not file.exists():
        return None
    column = run.read_table(UNLABELED).get_column("features", default=pl.Series())
    is_vector = isinstance(column.dtype, pl.Array) and column.dtype.inner == pl.Float32
    if not is_vector or not 0 < len(column) <= MAX_IMAGES:
        raise DamagedError.foreign(file, "it holds no features")
    features = column.to_numpy()
    if features.ndim != 2 or not np.isfinite(features).all():
        raise DamagedError.foreign(file, "a feature is not finite")
    return np.asarray(features)
