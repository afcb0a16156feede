"""Labels and groups -> a fold for every image: stratified, grouped, seeded.

A group never straddles folds, and each class is spread over the folds as evenly as its groups
allow. The deal depends on the images and the seed alone, not on the order they are given in. Knows
nothing of pixels.
"""

from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from bestiary.data.manifest import GROUP_KEYS
from bestiary.errors import DataError
from bestiary.rng import keyed_rng
from bestiary.tables import TableError, foreign_table, read_frame

Codes = NDArray[np.int64]  # (images,)


def join_groups(*keys: pl.Series) -> Codes:
    """Group numbers (images,): two images that share a value of any key are in one group; nulls
    share nothing.
    """
    count = len(keys[0])
    rows, columns, offset = [], [], count
    for key in keys:
        present = key.is_not_null().to_numpy()
        codes = key.rank("dense").fill_null(0).cast(pl.Int64).to_numpy()
        rows.append(np.flatnonzero(present))
        columns.append(codes[present] + offset)
        offset += int(codes.max(initial=0)) + 1
    row, column = np.concatenate(rows), np.concatenate(columns)
    graph = coo_array((np.ones(len(row), np.int8), (row, column)), shape=(offset, offset))
    _, component = connected_components(graph, directed=False)
    _, groups = np.unique(component[:count], return_inverse=True)
    return groups.astype(np.int64)


def leak_groups(table: pl.DataFrame) -> Codes:
    """Group numbers (images,) of a manifest's rows: what must stay on one side of every split.

    Two images are in one group where they share the user's group, the bytes or a group of near
    duplicates.

    Args:
        table: with the columns of `GROUP_KEYS`.
    """
    return join_groups(*(table[key] for key in GROUP_KEYS))


def deal(names: pl.Series, labels: pl.Series, groups: Codes, n: int, seed: int) -> Codes:
    """Deal images to folds.

    Args:
        names: a name for each image, all different; only their order among each other is used.
        labels: the class of each image.
        groups: group number of each image, as from `join_groups`.
        n: number of folds, 2 or more.
        seed: 0 or above.

    Returns:
        fold of each image, 0 to n - 1.
    """
    order = names.arg_sort().to_numpy()
    classes = labels.rank("dense").cast(pl.Int64).to_numpy()[order] - 1
    # Groups are numbered anew by first appearance in name order, so that the deal is the same for
    # any input order.
    _, first, groups = np.unique(groups[order], return_index=True, return_inverse=True)
    groups = np.argsort(np.argsort(first))[groups]
    sizes = np.bincount(groups)
    rng = keyed_rng(seed, "folds", n)
    counts = np.zeros((n, int(classes.max()) + 1), np.int64)
    fold_of_group = np.full(len(sizes), -1, np.int64)
    _deal_large_groups(groups, classes, sizes, counts, fold_of_group, rng)
    _deal_single_images(groups, classes, sizes, counts, fold_of_group, rng)
    folds = np.empty(len(order), np.int64)
    folds[order] = fold_of_group[groups]
    return folds


def _deal_large_groups(
    groups: Codes,
    classes: Codes,
    sizes: Codes,
    counts: Codes,
    fold_of_group: Codes,
    rng: np.random.Generator,
) -> None:
    """Largest first, each group to the fold that has least of its classes, then least in all."""
    large = np.flatnonzero(sizes > 1)
    large = large[np.lexsort((rng.random(len(large)), -sizes[large]))]
    members = np.argsort(groups, kind="stable")
    ends = np.cumsum(sizes)
    for group in large:
        inside, share = np.unique(
            classes[members[ends[group] - sizes[group] : ends[group]]], return_counts=True
        )
        crowding = (counts[:, inside] * share).sum(axis=1)
        fold = np.lexsort((rng.random(len(counts)), counts.sum(axis=1), crowding))[0]
        counts[fold, inside] += share
        fold_of_group[group] = fold


def _deal_single_images(
    groups: Codes,
    classes: Codes,
    sizes: Codes,
    counts: Codes,
    fold_of_group: Codes,
    rng: np.random.Generator,
) -> None:
    """Class by class, the images that stand alone fill the folds up to one level, the odd ones
    to the emptiest.
    """
    alone = np.flatnonzero(sizes[groups] == 1)
    alone = alone[np.lexsort((rng.random(len(alone)), classes[alone]))]
    starts = np.searchsorted(classes[alone], np.arange(counts.shape[1] + 1))
    for label in range(counts.shape[1]):
        images = alone[starts[label] : starts[label + 1]]
        totals = counts.sum(axis=1)
        more = water_fill(
            counts[:, label], len(images), np.lexsort((rng.random(len(counts)), totals))
        )
        fold_of_group[groups[images]] = np.repeat(np.arange(len(counts)), more)
        counts[:, label] += more


def water_fill(heights: Codes, amount: int, preference: Codes) -> Codes:
    """How much to pour on each of `heights` so that `amount` fills the lowest ones up to one level.

    What does not divide goes, one each, to the columns at that level that come first in
    `preference`.
    """
    poured = np.zeros_like(heights)
    ordered = np.sort(heights)
    # the highest whole level that `amount` can bring the lowest columns to
    need = np.array([(height - ordered[ordered < height]).sum() for height in ordered])
    k = int(np.searchsorted(need, amount, side="right"))
    top = int(ordered[:k].sum() + amount) // k
    poured = np.maximum(top - heights, 0)
    left = amount - int(poured.sum())
    ready = [column for column in preference if heights[column] <= top]
    poured[ready[:left]] += 1
    return poured


def check_class_sizes(labels: pl.Series, groups: Codes, n: int) -> list[tuple[str, int]]:
    """The classes that have fewer groups than folds, with their numbers of groups, fewest first."""
    table = pl.DataFrame({"label": labels, "group": groups})
    counted = table.group_by("label").agg(pl.col("group").n_unique().alias("groups"))
    rare = counted.filter(pl.col("groups") < n).sort("groups", "label")
    return list(zip(rare["label"].to_list(), rare["groups"].to_list(), strict=True))


def count_straddling(groups: Codes, folds: Codes) -> int:
    """Number of groups whose images lie in more than one fold."""
    pairs = np.unique(np.stack([groups, folds]), axis=1)
    return int((np.bincount(pairs[0]) > 1).sum())


def read_fold_file(file: Path, paths: pl.Series) -> Codes:
    """A user's own folds, from a CSV or Parquet table with the columns path and fold (0, 1, 2 ...).

    Raises:
        DataError: the file is no such table, lacks an image, or its folds are not 0 to n - 1 with n
            of 2 or more.
    """
    try:
        table = read_frame(file)
        with foreign_table():
            table = table.select(
                pl.col("path").cast(pl.String), pl.col("fold").cast(pl.Float64)
            ).unique()
    except (OSError, TableError) as error:
        raise DataError(
            f"--folds {file}: not a table with the columns path and fold ({error})"
        ) from None
    twice = table.filter(pl.col("path").is_duplicated())["path"]
    if len(twice):
        raise DataError(f"--folds {file}: {twice[0]!r} has more than one fold; keep one")
    joined = pl.DataFrame({"path": paths}).join(table, on="path", how="left", maintain_order="left")
    missing = joined.filter(pl.col("fold").is_null())["path"]
    if len(missing):
        raise DataError(
            f"--folds {file}: {len(missing)} images have no fold, first {missing[0]!r}; add their "
            f"rows"
        )
    used = np.unique(joined["fold"].to_numpy())
    if len(used) < 2 or not np.array_equal(used, np.arange(len(used))):
        raise DataError(
            f"--folds {file}: folds must be numbered 0, 1, 2 ... without a gap, at least two; "
            f"found {used}"
        )
    return joined["fold"].cast(pl.Int64).to_numpy()
