"""`Listing`: the image paths of a dataset with label, group and split, before a file is opened.

Also the names of the splits in folders and tables. Knows nothing of where a listing comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from bestiary.storage.files import Root

DataPath = str | Path  # a local path or an address
ListingRow = tuple[str, str | None, str | None, str | None]  # path, label, group, split

TRAINING_SPLITS = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
}
"""Split of each folder name that holds training or validation images."""

TEST_SPLIT = "test"
TEST_FOLDERS = ("test", "testing")

LISTING_SCHEMA = {
    "path": pl.String,
    "label": pl.String,
    "group": pl.String,
    "split": pl.String,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of a dataset.

    Attributes:
        root: Folder that the paths start from.
        table: One row per image, sorted by path. Columns: path (relative to root, forward
            slashes), label, group and split (null where unknown).
        ignored: Number of files left out, by reason.
        unusable: Path and reason of each file that is named like an image but cannot be listed.
    """

    root: Root
    table: pl.DataFrame
    ignored: dict[str, int] = field(default_factory=dict)
    unusable: list[tuple[str, str]] = field(default_factory=list)

    def with_test(self, test: "Listing") -> "Listing":
        """Add the images of the test split that came with this listing."""
        table = pl.concat([self.table, test.table])
        sorted_table = table.sort("path")
        return replace(self, table=sorted_table)


def listing_table(rows: Sequence[ListingRow]) -> pl.DataFrame:
    """Make the table of a listing, sorted by path."""
    table = pl.DataFrame(rows, schema=LISTING_SCHEMA, orient="row")
    return table.sort("path")


def is_test_row() -> pl.Expr:
    """Select the rows of the test split, in any case; a null split is not test."""
    split = pl.col("split").str.to_lowercase()
    is_test = split == TEST_SPLIT
    return is_test.fill_null(False)
