"""A table of classes and the taxa above them -> `Taxonomy`, the tree that a run knows.

A run keeps it in `bestiary.run.layout.TAXONOMY`. Knows nothing of images and of where the table
comes from.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.errors import DamagedError
from bestiary.run.layout import TAXONOMY
from bestiary.run.run import Run
from bestiary.run.tables import read_table

RANKS = ("genus", "family", "order", "class", "phylum", "kingdom")
"""Ranks above a class of the classifier, the lowest first; a taxonomy has some of them."""
NAMES = ("scientificName", "vernacularName", "taxonID")
"""Columns of Darwin Core that a taxonomy may have as well."""


@dataclass(frozen=True)
class Taxonomy:
    """The tree of the classes of a run.

    Attributes:
        table: One row a class. Columns: label, then those of `RANKS` and of `NAMES` that are known,
            null where a class has none.

    Example:
        >>> table = pl.DataFrame({"label": ["Lynx lynx", "Felis catus"], "family": ["Felidae"] * 2})
        >>> Taxonomy(table).taxa(["Felis catus", "other", "Lynx lynx"], "family")
        (['Felidae', 'other'], array([0, 1, 0]))
    """

    table: pl.DataFrame

    @property
    def ranks(self) -> list[str]:
        """The ranks that it has, the lowest first."""
        return [rank for rank in RANKS if rank in self.table.columns]

    def column(self, name: str) -> dict[str, str]:
        """Class -> its taxon of a rank, or its name of one of `NAMES`; without those that lack it.

        Args:
            name: One of `RANKS` or `NAMES`.
        """
        if name not in self.table.columns:
            return {}
        return dict(self.table.select("label", name).drop_nulls().iter_rows())

    def taxa(self, classes: list[str], rank: str) -> tuple[list[str], NDArray[np.int64]]:
        """Group classes by their taxon of a rank: probabilities are summed over these groups.

        Args:
            classes: In the order of the probabilities.
            rank: One of `ranks`.

        Returns:
            The taxa, in the order of their first class; and the number of each class' taxon
            (classes,). A class without one stands for itself.
        """
        taxon_of = self.column(rank)
        names = [taxon_of.get(label, label) for label in classes]
        taxa = list(dict.fromkeys(names))
        number = {name: index for index, name in enumerate(taxa)}
        return taxa, np.array([number[name] for name in names], np.int64)

    def scientific_name(self, label: str) -> str:
        """The scientific name of a class; the class itself where the table has none."""
        return self.column("scientificName").get(label, label)


def write_taxonomy(run: Run, taxonomy: Taxonomy) -> None:
    """Write the taxonomy of a run."""
    run.write_table(TAXONOMY, taxonomy.table)


def read_run_taxonomy(run: Run) -> Taxonomy | None:
    """Read the taxonomy of a run; None: it has none.

    Raises:
        DamagedError: The file is damaged.
    """
    file = run.file(TAXONOMY)
    if not file.exists():
        return None
    schema = {"label": pl.String}
    table = read_table(file, schema)
    known = [name for name in ("label", *RANKS, *NAMES) if name in table.columns]
    table = table.select(known)
    if table["label"].n_unique() < table.height:
        raise DamagedError.foreign(file, "it has more than one row of a class")
    return Taxonomy(table)
