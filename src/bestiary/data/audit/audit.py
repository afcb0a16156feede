"""Listings -> everything that stands between their pictures and an honest score. The data folder is never touched."""

from dataclasses import replace

import polars as pl

from bestiary.data.audit.classes import count_classes
from bestiary.data.audit.findings import Audit
from bestiary.data.audit.linking import find_links, mark_copies
from bestiary.data.fact_cache import FactCache, cache_folder
from bestiary.data.listing import Listing
from bestiary.data.manifest import read_listed, read_manifest
from bestiary.display import Display


def audit_pictures(listing: Listing, test: Listing, display: Display) -> Audit:
    """Read the pictures and look for all that this package knows.

    Args:
        listing: the labelled pictures outside the test split.
        test: the pictures of a supplied test split, labelled or not; may be empty.
        display: shows how far the work has come.

    Raises:
        DataError: not one labelled picture can be decoded.
        BestiaryError: the cache's folder cannot be written.
    """
    cache = FactCache(cache_folder())
    with display.counter("Reading pictures") as tick:
        manifest = read_manifest(listing, tick, cache)
    with display.counter("Reading test pictures") as tick:
        held = read_listed(test, tick, cache)
    table = pl.concat([manifest.table, held.table])
    table = mark_copies(table, find_links(table, cache, display))
    count = manifest.table.height
    return Audit(
        manifest=replace(manifest, table=table[:count]),
        test=table[count:],
        quarantine=pl.concat([manifest.quarantine, held.quarantine]).sort("path"),
        classes=count_classes(manifest.table["label"]),
    )
