"""A listing and the boxes in its images -> a listing of the boxes: one sample each.

Boxes come from a detector's file or from the column box of a table. Those of one image share a
group. Images without a box are empty, and no samples. Knows nothing of formats and pixels.
"""

from dataclasses import replace
from pathlib import Path

import polars as pl

from bestiary.data.detections.read import read_detections
from bestiary.data.detections.types import Detections
from bestiary.data.listing_folders import FoundFiles, label_found
from bestiary.data.listing_types import LISTING_SCHEMA, Listing
from bestiary.data.table_boxes import box_samples
from bestiary.data.table_fields import unread_times
from bestiary.data.table_paths import paths_below
from bestiary.data.table_values import plain_paths
from bestiary.data.times import iso_time
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.recipe.sections import DataOptions
from bestiary.storage.boxes import BoxFolder
from bestiary.storage.files import Root

UNSEEN = "is not in the file of boxes"


def list_detections(file: Path, options: DataOptions) -> Listing:
    """List the samples of a file of detections, which lists its images itself.

    Args:
        file: The file.
        options: Folder that its paths start from (empty: that of the file), and how sure the
            detector must be. Labels that the file does not have are those of the folders.

    Raises:
        DataError: The file cannot be used.
    """
    root = Path(options.root) if options.root else file.parent
    found = read_detections(file, options.box_confidence)
    if found.has_labels:
        table = found.images.select("path", "label").with_columns(
            pl.lit(None, pl.String).alias(name) for name in ("group", "split")
        )
        listing = Listing(root, table.select(list(LISTING_SCHEMA)))
    else:
        images = sorted(found.images["path"].to_list())
        folders = {"/".join(path.split("/")[:depth]) for path in images for depth in (1, 2)}
        files = FoundFiles(images, [], {}, folders - set(images))
        listing = label_found(files, root, str(file), options.layout)
    return add_boxes(listing, _below(str(file), found, root), options.box_confidence)


def list_detected_images(file: Path, options: DataOptions) -> Listing:
    """List the samples of a file of detections to predict: labels only where the file has them.

    Args:
        file: The file.
        options: As for `list_detections`.

    Raises:
        DataError: The file cannot be used.
    """
    root = Path(options.root) if options.root else file.parent
    found = _below(str(file), read_detections(file, options.box_confidence), root)
    table = found.images.select("path", "label").with_columns(
        pl.lit(None, pl.String).alias(name) for name in ("group", "split")
    )
    listing = Listing(root, table.select(list(LISTING_SCHEMA)))
    return add_boxes(listing, found, options.box_confidence)


def with_boxes(listing: Listing, options: DataOptions) -> Listing:
    """Turn the images of a listing into the boxes of `options.boxes`; none is named: unchanged.

    Args:
        listing: The images, with their labels.
        options: The file, and how sure the detector must be.

    Raises:
        DataError: The file cannot be used, or has other images.
    """
    if not options.boxes:
        return listing
    file = Path(options.boxes)
    if not file.is_file():
        raise DataError(f"data.boxes = {options.boxes}: no such file; check the path")
    found = _below(str(file), read_detections(file, options.box_confidence), listing.root)
    return add_boxes(listing, found, options.box_confidence)


def _below(place: str, found: Detections, root: Root) -> Detections:
    """The same with all paths below `root`."""
    unread = pl.Series([path for path, _ in found.unusable], dtype=pl.String)
    named = pl.concat([found.images["path"], unread.unique(maintain_order=True)])
    below = paths_below(place, named if isinstance(root, Path) else plain_paths(named), root)
    other = named != below
    if not other.any():
        return found
    renamed = dict(zip(named.filter(other), below.filter(other), strict=True))
    path = pl.col("path").replace(renamed)
    boxes = found.boxes.with_columns(path)
    unusable = [(renamed.get(one, one), reason) for one, reason in found.unusable]
    images = found.images.with_columns(path)
    return replace(  # an image may be named in two ways
        found,
        images=images.unique("path", keep="first", maintain_order=True),
        boxes=boxes.unique(["path", "box"], keep="first", maintain_order=True),
        unusable=unusable,
    )


def add_boxes(listing: Listing, found: Detections, min_confidence: float) -> Listing:
    """Turn the images of a listing into boxes.

    Args:
        listing: The images.
        found: Their boxes, with paths as in the listing.
        min_confidence: Is named in what is said.

    Returns:
        One row for each box, or for each image where nothing has boxes. Its label is that of its
        image, or else that of the box.

    Raises:
        DataError: None of the listed images is in `found`.
    """
    images, lines = _join_fields(listing.table, found.images)
    found = replace(found, notes=[*found.notes, *lines])
    known = pl.concat([found.images["path"], pl.Series([path for path, _ in found.unusable])])
    is_known = images["path"].is_in(known.implode())
    if images.height and not is_known.any():
        raise DataError(
            f"none of the {images.height:,} images, such as {images['path'][0]!r}, is in the file "
            f"of boxes, which has {known[0] if len(known) else 'none'!r}; name the folder that its "
            f"paths start from with --set data.root=FOLDER"
        )
    unusable = dict(listing.unusable)
    unusable |= dict.fromkeys(images.filter(~is_known)["path"], UNSEEN)
    listed = set(images["path"])
    unusable |= {path: reason for path, reason in found.unusable if path in listed}
    images = images.filter(is_known)
    if found.boxes.is_empty() and found.has_labels:  # labels of whole images
        rest = images.filter(~pl.col("path").is_in(list(unusable)))
        return replace(
            listing,
            table=rest.sort("path"),
            unusable=sorted(unusable.items()),
            notes=[*listing.notes, *found.notes],
        )

    own = found.boxes.rename({"label": "box_label"})
    table = images.join(own, on="path", how="inner", maintain_order="left_right")
    label = pl.coalesce("label", "box_label").alias("label")
    table = box_samples(table.with_columns(label).drop("box_label"))
    with_box = set(table["image"])
    is_empty = ~pl.col("path").is_in([*with_box, *unusable])
    empty = images.filter(is_empty).sort("path")
    n_images = len(with_box)
    note = (
        f"Boxes: {table.height:,} of {found.name} in {counted(n_images, 'image')} are the samples; "
        "those of one image stay in one fold"
    )
    notes = [*listing.notes, *found.notes, note]
    if empty.height:
        notes.append(
            f"Empty: {counted(empty.height, 'image has', 'images have')} no box of confidence "
            f"{min_confidence:g} or more (data.box_confidence)"
        )
    return replace(
        listing,
        root=BoxFolder(listing.root),
        table=table,
        unusable=sorted(unusable.items()),
        notes=notes,
        empty=empty,
    )


def _join_fields(table: pl.DataFrame, images: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Fill time, site and event from the file of boxes, where the table has none.

    Returns:
        The table, and how many times of the file cannot be read, in words.
    """
    times = images["time"].map_elements(iso_time, return_dtype=pl.String).alias("time")
    bad = images["time"].filter(times.is_null() & images["time"].is_not_null())
    notes = [unread_times(bad)] if len(bad) else []
    known = images.drop("label").with_columns(times)
    joined = table.join(known, on="path", how="left", maintain_order="left", suffix="_found")
    for name in ("time", "site", "event"):
        if name in table.columns:
            filled = pl.coalesce(name, f"{name}_found").alias(name)
            joined = joined.with_columns(filled).drop(f"{name}_found")
        elif joined[name].null_count() == joined.height:
            joined = joined.drop(name)
    return joined, notes
