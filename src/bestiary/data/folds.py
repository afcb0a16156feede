"""Labels and leak groups -> a fold for every image: stratified, grouped and seeded folds.

No group straddles two folds, and each class is spread over the folds as evenly as its groups allow.
The assignment depends on the images and the seed alone, not on the order of the images. Knows
nothing of pixels.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from bestiary.data.components import IntArray, components
from bestiary.data.listing_tables import read_table
from bestiary.data.manifest import GROUP_KEYS
from bestiary.data.table_values import plain_paths
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.recipe.choices import FoldBy
from bestiary.rng import keyed_rng
from bestiary.tables import TableError, table_errors


def join_groups(*keys: pl.Series) -> IntArray:
    """Join images that share a value of any key.

    Args:
        keys: One value per image in each; nulls are shared with no other image.

    Returns:
        Group number of each image (images,), from 0 without gaps.
    """
    n_images = len(keys[0])

    # Build a graph of two kinds of nodes: images, and the values of every key.
    image_nodes = []
    value_nodes = []
    n_nodes = n_images
    for key in keys:
        has_value = key.is_not_null().to_numpy()
        values = _value_numbers(key)
        images = np.flatnonzero(has_value)
        image_nodes.append(images)
        value_nodes.append(values[has_value] + n_nodes)
        n_nodes += int(values.max(initial=0)) + 1

    # The images of one connected component are one group.
    links = np.stack([np.concatenate(image_nodes), np.concatenate(value_nodes)], axis=1)
    component = components(links, n_nodes)
    _, groups = np.unique(component[:n_images], return_inverse=True)
    return groups.astype(np.int64)


def _value_numbers(key: pl.Series) -> IntArray:
    """Number the different values of a key from 1; nulls are 0."""
    numbers = key.rank("dense").fill_null(0)
    return numbers.cast(pl.Int64).to_numpy()


def leak_groups(table: pl.DataFrame) -> IntArray:
    """Group the images that must stay on one side of every split.

    Two images are in one group if they share the user's group, the bytes or a group of near
    duplicates.

    Args:
        table: A manifest's rows, with the columns of `GROUP_KEYS`.

    Returns:
        Group number of each image (images,).
    """
    keys = [table[name] for name in GROUP_KEYS]
    return join_groups(*keys)


def fold_groups(table: pl.DataFrame, by: FoldBy) -> IntArray:
    """Group the images that one fold leaves out together.

    Args:
        table: A manifest's rows.
        by: image: as `leak_groups`; site: and all images of a site too. An image without a site is
            left out by itself.

    Returns:
        Group number of each image (images,).

    Raises:
        DataError: The images have no sites.
    """
    if by == "image":
        return leak_groups(table)
    if "site" not in table.columns:
        raise DataError(
            "folds.by = 'site': the images have no sites; give a table with the columns "
            "path,label,site, or leave it out"
        )
    keys = [table[name] for name in (*GROUP_KEYS, "site")]
    return join_groups(*keys)


def assign_folds(
    names: pl.Series, labels: pl.Series, groups: IntArray, n: int, seed: int
) -> IntArray:
    """Assign images to folds.

    Args:
        names: A name for each image, all different; only their sort order is used.
        labels: Class of each image.
        groups: Group number of each image, as from `join_groups`.
        n: Number of folds, 2 or more.
        seed: Seed of the assignment, 0 or more.

    Returns:
        Fold of each image (images,), 0 to n - 1.
    """
    # Sort images by name and number classes and groups, so that the input's order does not matter.
    order = names.arg_sort().to_numpy()
    groups = _number_by_appearance(groups[order])
    class_ranks = labels.rank("dense").cast(pl.Int64).to_numpy()
    classes = class_ranks[order] - 1
    n_classes = int(classes.max()) + 1

    # Large groups first: single images then level out what the groups leave uneven.
    rng = keyed_rng(seed, "folds", n)
    assignment = _Assignment.empty(groups, classes, n, n_classes, rng)
    assignment.assign_large_groups()
    assignment.assign_single_images()

    folds = np.empty(len(order), np.int64)
    folds[order] = assignment.fold_of_group[groups]
    return folds


def _number_by_appearance(groups: IntArray) -> IntArray:
    """Number groups by their first image, so that the input's numbers do not matter."""
    _, first_image, groups = np.unique(groups, return_index=True, return_inverse=True)
    order = np.argsort(first_image)
    number_of_group = np.argsort(order)
    return number_of_group[groups]


@dataclass(frozen=True, slots=True)
class _Assignment:
    """Folds under assignment.

    Attributes:
        groups: Group number of each image (images,).
        classes: Class number of each image (images,).
        sizes: Number of images of each group (groups,).
        counts: Images of each class in each fold so far (folds, classes).
        fold_of_group: Fold of each group (groups,); -1: not yet assigned.
        rng: Breaks ties and orders equals.
    """

    groups: IntArray
    classes: IntArray
    sizes: IntArray
    counts: IntArray
    fold_of_group: IntArray
    rng: np.random.Generator

    @classmethod
    def empty(
        cls,
        groups: IntArray,
        classes: IntArray,
        n_folds: int,
        n_classes: int,
        rng: np.random.Generator,
    ) -> "_Assignment":
        """No group is assigned to a fold."""
        sizes = np.bincount(groups)
        return cls(
            groups=groups,
            classes=classes,
            sizes=sizes,
            counts=np.zeros((n_folds, n_classes), np.int64),
            fold_of_group=np.full(len(sizes), -1, np.int64),
            rng=rng,
        )

    def assign_large_groups(self) -> None:
        """Assign each group of two or more images, largest first.

        A group goes to the fold with the fewest images of its classes, then the fewest in all.
        Plain lists: the folds of one group depend on those before it, and there may be as many
        groups as images with boxes.
        """
        # Order the groups by size.
        large = np.flatnonzero(self.sizes > 1)
        tie_break = self.rng.random(len(large))
        order = np.lexsort((tie_break, -self.sizes[large]))

        # Assign one group after the other.
        n_folds = len(self.counts)
        ties = self.rng.random(len(large) * n_folds).tolist()
        totals = self.counts.sum(axis=1).tolist()
        counts = self.counts.T.tolist()  # of each class in each fold
        chosen = []
        for place, classes in enumerate(self._classes_of(large[order])):
            crowding = _crowding(classes, counts)
            own_ties = ties[place * n_folds : (place + 1) * n_folds]
            fold = min(zip(crowding, totals, own_ties, range(n_folds), strict=True))[3]
            for number, n_images in classes:
                counts[number][fold] += n_images
                totals[fold] += n_images
            chosen.append(fold)
        self.fold_of_group[large[order]] = chosen
        self.counts[:] = np.transpose(counts)

    def _classes_of(self, groups: IntArray) -> Iterator[list[tuple[int, int]]]:
        """Class numbers of the images of each group, with the number of images.

        Numbers lie in few long lists: many short ones would be visited by the garbage collector.
        """
        n_classes = self.counts.shape[1]
        cells = self.groups * n_classes + self.classes
        different, counts = np.unique(cells, return_counts=True)
        of_group = different // n_classes
        numbers = (different % n_classes).tolist()
        sizes = counts.tolist()
        starts = np.searchsorted(of_group, groups).tolist()
        ends = np.searchsorted(of_group, groups, side="right").tolist()
        for start, end in zip(starts, ends, strict=True):
            yield list(zip(numbers[start:end], sizes[start:end], strict=True))

    def assign_single_images(self) -> None:
        """Assign the images that are alone in their group, class by class.

        They fill the folds up to one level; the odd ones go to the folds with the fewest images.
        """
        is_single = self.sizes[self.groups] == 1
        single = np.flatnonzero(is_single)
        shuffle = self.rng.random(len(single))
        order = np.lexsort((shuffle, self.classes[single]))
        single = single[order]

        n_classes = self.counts.shape[1]
        starts = np.searchsorted(self.classes[single], np.arange(n_classes + 1))
        for class_number in range(n_classes):
            start = starts[class_number]
            end = starts[class_number + 1]
            images = single[start:end]
            self._spread_over_folds(images, class_number)

    def _spread_over_folds(self, images: IntArray, class_number: int) -> None:
        """Assign single images of one class."""
        n_folds = len(self.counts)
        totals = self.counts.sum(axis=1)
        tie_break = self.rng.random(n_folds)
        preference = np.lexsort((tie_break, totals))

        added = water_fill(
            heights=self.counts[:, class_number],
            amount=len(images),
            preference=preference,
        )
        folds = np.repeat(np.arange(n_folds), added)
        self.fold_of_group[self.groups[images]] = folds
        self.counts[:, class_number] += added


def _crowding(classes: Sequence[tuple[int, int]], counts: Sequence[Sequence[int]]) -> Sequence[int]:
    """Number how crowded each fold is with the classes of a group; only the order counts.

    Args:
        classes: Number of each class of the group, and of its images.
        counts: Images of each class in each fold.
    """
    if len(classes) == 1:
        return counts[classes[0][0]]
    weighted = [[n_images * count for count in counts[number]] for number, n_images in classes]
    return [sum(parts) for parts in zip(*weighted, strict=True)]


def water_fill(heights: IntArray, amount: int, preference: IntArray) -> IntArray:
    """Spread `amount` units over columns so that the lowest ones rise to one level.

    Args:
        heights: Present height of each column (columns,).
        amount: Number of units to add.
        preference: Column numbers (columns,). The units that do not divide evenly go, one each, to
            the first columns here that are at the level.

    Returns:
        Units added to each column (columns,).
    """
    # Find the highest whole level that `amount` can bring the lowest columns to.
    ascending = np.sort(heights)
    needed = []
    for height in ascending:
        lower = ascending[ascending < height]
        needed.append((height - lower).sum())
    n_filled = int(np.searchsorted(needed, amount, side="right"))
    total = int(ascending[:n_filled].sum() + amount)
    level = total // n_filled

    # Fill up to the level, then add the odd units one each.
    added = np.maximum(level - heights, 0)
    n_odd = amount - int(added.sum())
    at_level = [column for column in preference if heights[column] <= level]
    added[at_level[:n_odd]] += 1
    return added


def find_rare_classes(labels: pl.Series, groups: IntArray, n: int) -> list[tuple[str, int]]:
    """Find the classes that have fewer groups than folds.

    Args:
        labels: Class of each image.
        groups: Group number of each image.
        n: Number of folds.

    Returns:
        Class and number of groups, fewest groups first.
    """
    table = pl.DataFrame(
        {
            "label": labels,
            "group": groups,
        }
    )
    n_groups = pl.col("group").n_unique()
    counts = table.group_by("label").agg(n_groups.alias("groups"))
    is_rare = pl.col("groups") < n
    rare = counts.filter(is_rare).sort("groups", "label")
    return rare.select("label", "groups").rows()


def count_straddling(groups: IntArray, folds: IntArray) -> int:
    """Count the groups whose images lie in more than one fold."""
    groups_and_folds = np.stack([groups, folds])
    pairs = np.unique(groups_and_folds, axis=1)
    folds_of_group = np.bincount(pairs[0])
    straddles = folds_of_group > 1
    return int(straddles.sum())


def read_fold_file(file: Path, paths: pl.Series) -> IntArray:
    """Read a user's own folds.

    Args:
        file: CSV or Parquet table with the columns path and fold (0, 1, 2 ...).
        paths: The images.

    Returns:
        Fold of each of `paths` (images,).

    Raises:
        DataError: The file is not such a table or lacks an image, or its folds are not 0 to n - 1
            for an n of at least 2.
    """
    table = _read_fold_table(file, paths)
    is_repeated = pl.col("path").is_duplicated()
    repeated = table.filter(is_repeated)["path"]
    if len(repeated):
        raise DataError(f"--folds {file}: {repeated[0]!r} has more than one fold; keep one")

    images = pl.DataFrame({"path": paths})
    joined = images.join(table, on="path", how="left", maintain_order="left")
    has_no_fold = pl.col("fold").is_null()
    missing = joined.filter(has_no_fold)["path"]
    if len(missing):
        raise DataError(
            f"--folds {file}: {counted(len(missing), 'image has', 'images have')} no fold, first "
            f"{missing[0]!r}; add their rows"
        )

    used = np.unique(joined["fold"].to_numpy())
    has_gap = not np.array_equal(used, np.arange(len(used)))
    if len(used) < 2 or has_gap:
        raise DataError(
            f"--folds {file}: folds must be numbered 0, 1, 2 ... without a gap, at least two; "
            f"found {used}"
        )
    return joined["fold"].cast(pl.Int64).to_numpy()


def _read_fold_table(file: Path, images: pl.Series) -> pl.DataFrame:
    """Read the different rows of path and fold; folds are floats, so that 0.5 can be refused."""
    path = pl.col("path").cast(pl.String)
    fold = pl.col("fold").cast(pl.Float64)
    try:
        table = read_table(file)
        with table_errors():
            table = table.select(path, fold)
            # An object in a store may have a name that no file has.
            is_image = pl.col("path").is_in(images.implode())
            plain = plain_paths(table["path"])
            return table.with_columns(pl.when(is_image).then("path").otherwise(plain)).unique()
    except (DataError, TableError) as error:
        raise DataError(
            f"--folds {file}: not a table with the columns path and fold ({error})"
        ) from None
