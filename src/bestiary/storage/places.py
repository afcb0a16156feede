"""A path or an address -> the folder it is, of whatever kind."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.storage.files import Root, folder_at
from bestiary.storage.shards import ShardFolder, has_index


def root_at(place: str | Path) -> Root:
    """The folder that images' paths start from: of files or of shards, on a disk or in a store.

    Raises:
        DataError: its kind of store cannot be opened, or an index of shards cannot be read.
    """
    if has_index(place):
        return ShardFolder(place)
    return folder_at(place)


def reading_order(root: Root, paths: Sequence[str] | pl.Series) -> NDArray[np.int64]:
    """The order (paths,) in which `paths` are best read: as they come, or by shards, which are
    then fetched ahead.
    """
    if not isinstance(root, ShardFolder):
        return np.arange(len(paths))
    order = root.reading_order(paths)
    root.will_read(root.shards_of(paths)[order])
    return order
