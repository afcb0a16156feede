"""`Listing`: the image paths of a dataset with label, group and split, before an image is decoded.

Knows nothing of where a listing comes from.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl

from bestiary.data.split_words import TEST
from bestiary.storage.files import Root

DataPath = str | Path  # a local path or an address
ListingRow = tuple[str, str | None, str | None, str | None]  # path, label, group, split

NO_IMAGE = "of other kinds"
HIDDEN = "hidden"
OWN_FILES = "of a run of bestiary"

LISTING_SCHEMA = {
    "path": pl.String,
    "label": pl.String,
    "group": pl.String,
    "split": pl.String,
}


@dataclass(frozen=True, slots=True)
class Listing:
    """The images of a dataset.

    Every file of a folder is in one of three places: table, unusable or ignored.

    Attributes:
        root: Folder that the paths start from.
        table: One row per image, sorted by path. Columns: path (relative to root, forward
            slashes), label, group and split (train, val, test; null where unknown), and then those
            of `bestiary.run.fields` and others that the user's table has.
        ignored: Number of files left out, by reason.
        unusable: Path and reason of each image that cannot be listed or is in a format that
            bestiary does not read.
        notes: What was assumed, in words.
        empty_classes: Class that has a folder and no image -> number of its images that are
            unusable.
        empty: Rows as in `table` of the images in which a detector has found nothing; they are no
            samples.
    """

    root: Root
    table: pl.DataFrame
    ignored: dict[str, int] = field(default_factory=dict)
    unusable: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    empty_classes: dict[str, int] = field(default_factory=dict)
    empty: pl.DataFrame = field(default_factory=lambda: pl.DataFrame(schema=LISTING_SCHEMA))

    @property
    def outside_test(self) -> "Listing":
        """The labeled images outside the test split, with all counts and notes."""
        return replace(self, table=self.table.filter(~is_test_row()))

    def drop_unlabeled(self, among: pl.Expr) -> "Listing":
        """Move the images that have no label, among some rows, to the unusable ones."""
        is_dropped = pl.col("label").is_null() & among
        paths = self.table.filter(is_dropped)["path"]
        dropped = [(path, "without a label") for path in paths]
        return replace(
            self,
            table=self.table.filter(~is_dropped),
            unusable=sorted([*self.unusable, *dropped]),
        )

    @property
    def test(self) -> "Listing":
        """The images of the test split alone, labeled or not; the rest is in `outside_test`."""
        return Listing(self.root, self.table.filter(is_test_row()))


def listing_table(rows: Sequence[ListingRow]) -> pl.DataFrame:
    """Make the table of a listing, sorted by path."""
    table = pl.DataFrame(rows, schema=LISTING_SCHEMA, orient="row")
    return table.sort("path")


def is_test_row() -> pl.Expr:
    """Select the rows of the test split; a null split is not test."""
    return (pl.col("split") == TEST).fill_null(False)
