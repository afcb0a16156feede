"""Open the image root of a dataset: a local folder, an object store or a folder of shards.

Also chooses the order in which to read its images. Knows nothing of what the files mean.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.storage.files import Root, folder_at
from bestiary.storage.shards import ShardFolder, has_index


def open_root(location: str | Path) -> Root:
    """Open the folder that image paths start from.

    Args:
        location: path or address of a folder of files or of shards.

    Returns:
        The folder; ``root / path`` is an image.

    Raises:
        DataError: the store is of an unknown kind, or an index of shards cannot be read.
    """
    if has_index(location):
        return ShardFolder(location)
    return folder_at(location)


def reading_order(root: Root, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
    """Choose the order in which to read images, and prefetch their shards in that order.

    Args:
        root: the folder of the images.
        paths: of the images.

    Returns:
        Indices of `paths`, (paths,): shard by shard, or unchanged where there are no shards.
    """
    if not isinstance(root, ShardFolder):
        return np.arange(len(paths))
    return root.reading_order(paths)
