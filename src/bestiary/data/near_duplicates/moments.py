"""Images with a site and a time -> the pairs that one camera took at different times.

Such frames show one background, and often a small animal or none: they may look like copies of one
photograph, and are not. Only the user's column site counts. Knows nothing of pixels.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.times import time_seconds

MIN_SECONDS = 1.0  # between two frames; the times of copies are the same


@dataclass(frozen=True, slots=True)
class Moments:
    """When and where images were taken.

    Attributes:
        table: sha256, site and seconds of the images whose site and time are known.
    """

    table: pl.DataFrame

    @classmethod
    def of(cls, tables: Sequence[pl.DataFrame]) -> Self:
        """Read the moments of images.

        Args:
            tables: Rows of manifests. An image whose bytes have two moments has none.
        """
        schema = {"sha256": pl.String, "site": pl.String, "seconds": pl.Float64}
        known = [pl.DataFrame(schema=schema)]
        for table in tables:
            if {"site", "time"} <= set(table.columns):
                seconds = time_seconds(table["time"]).alias("seconds")
                known.append(table.select("sha256", "site").with_columns(seconds).drop_nulls())
        rows = pl.concat(known).unique()
        is_single = pl.len().over("sha256") == 1
        return cls(rows.filter(is_single).sort("sha256"))

    def __str__(self) -> str:
        """A digest of the moments; empty if there are none."""
        if self.table.is_empty():
            return ""
        return hashlib.sha256(self.table.write_csv().encode()).hexdigest()

    def differ(self, digests: Sequence[str], pairs: NDArray[np.integer]) -> NDArray[np.bool_]:
        """Tell which pairs one site's camera took at different times.

        Args:
            digests: SHA-256 of each image.
            pairs: Their first two columns are indices of images.

        Returns:
            Flags (pairs,).
        """
        if self.table.is_empty():
            return np.zeros(len(pairs), np.bool_)
        images = pl.DataFrame({"sha256": digests}, schema={"sha256": pl.String})
        joined = images.join(self.table, on="sha256", how="left", maintain_order="left")
        sites = joined["site"].rank("dense").fill_null(0).to_numpy()
        seconds = joined["seconds"].fill_null(0).to_numpy()
        one, other = pairs[:, 0], pairs[:, 1]
        is_one_site = (sites[one] == sites[other]) & (sites[one] > 0)
        return np.asarray(is_one_site & (np.abs(seconds[one] - seconds[other]) >= MIN_SECONDS))
