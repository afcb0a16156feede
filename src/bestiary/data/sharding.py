"""Write listed images as tar shards in WebDataset's layout with an index, to a disk or a store.

Images are written unchanged in one random order. So each shard is a mixture of the classes, and a
shuffle buffer of a few shards shuffles well. Only one shard at a time lies on this disk. Knows
nothing of how shards are read.
"""

import json
import shutil
import tarfile
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.atomic import atomic_path, write_errors
from bestiary.data.decode import claimed_size, read_image
from bestiary.data.file_kinds import HEAD_BYTES, SUFFIX_FORMATS, image_format, suffix_of
from bestiary.data.listing_types import LISTING_SCHEMA, Listing
from bestiary.display import Display, Tick
from bestiary.errors import DataError, ForeignError, ImageError
from bestiary.numbers import counted
from bestiary.printable import place_name
from bestiary.rng import keyed_rng
from bestiary.storage.files import is_address, location, put_file
from bestiary.storage.roots import reading_order
from bestiary.storage.shards import (
    INDEX,
    INDEX_ROWS,
    INDEX_SCHEMA,
    ShardFolder,
    has_index,
    shard_name,
)

UNLIMITED_IMAGES = 1 << 40  # per shard: only its size is limited
MAX_MISSING_LINES = 10


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """The shards that were written.

    Attributes:
        place: Path or address of the shards.
        images: Number of images.
        shards: Number of shards.
        missing: Path and reason of each image that could not be listed or read.
    """

    place: str
    images: int
    shards: int
    missing: list[tuple[str, str]]

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "place": self.place,
            "images": self.images,
            "shards": self.shards,
            "left_out": [{"path": path, "reason": reason} for path, reason in self.missing],
        }

    @property
    def exit_code(self) -> int:
        """1 if images are missing."""
        return int(bool(self.missing))

    def __str__(self) -> str:
        lines = [
            f"{counted(self.images, 'image')} in {counted(self.shards, 'shard')} in {self.place}"
        ]
        for path, reason in self.missing[:MAX_MISSING_LINES]:
            lines.append(f"Left out: {path} ({reason})")

        n_more = len(self.missing) - MAX_MISSING_LINES
        if n_more > 0:
            lines.append(f"... and {n_more:,} more")
        return "\n".join(lines)


def write_shards(
    listing: Listing, out: str | Path, megabytes: int, display: Display
) -> ShardSummary:
    """Write the images of a listing as shards; the index is written last and makes them valid.

    Args:
        listing: The images.
        out: Path or address of the folder to write to.
        megabytes: Approximate size of a shard.
        display: Shows the progress.

    Raises:
        DataError: `out` has shards already, none of the images can be read, or a store cannot be
            written.
        BestiaryError: The folder cannot be written.
    """
    writer_class = _import_shard_writer()
    if has_index(out):
        raise DataError(f"{out}: holds shards already ({INDEX}); choose another folder")
    # Write the shards one after the other; each moves to `out` once it is finished.
    order = _writing_order(listing)
    locations = _ImageLocations(out)
    with (
        tempfile.TemporaryDirectory(prefix="bestiary-") as folder,
        write_errors(Path(folder, "shard")),
        display.counter("Writing shards") as tick,
        writer_class(
            f"{folder}/shard-%06d.tar",
            maxcount=UNLIMITED_IMAGES,
            maxsize=megabytes * 1e6,
            post=locations.close_shard,
            verbose=0,
            encoder=False,
            mtime=0.0,  # so that the same images give the same bytes
        ) as writer,
    ):
        missing = _write_images(listing, order, writer, locations, tick)
    if not locations.rows:
        count = listing.table.height
        raise DataError(
            f"{place_name(listing.root)}: {counted(count, 'image')}, none of which can be read"
        )

    # The index comes last: without it the shards are not valid.
    index = _make_index(listing, locations)
    _write_index(index, out)
    return ShardSummary(
        place=str(out),
        images=index.height,
        shards=int(index["shard"].n_unique()),
        missing=sorted([*missing, *listing.unusable]),
    )


def _import_shard_writer() -> Any:
    """Import the writer of webdataset, an optional dependency."""
    try:
        from webdataset import ShardWriter
    except ImportError:
        raise DataError(
            "shard: webdataset is not installed; pip install 'bestiary[storage]'"
        ) from None
    return ShardWriter


@dataclass(slots=True)
class _ImageLocations:
    """Where each image lies in the finished shards.

    Attributes:
        out: Path or address of the folder of the shards.
        rows: Listing row, shard number, offset and size in bytes of each image.
        open_shard: Listing rows of the images in the shard that is being written.
    """

    out: str | Path
    rows: list[tuple[int, int, int, int]] = field(default_factory=list)
    open_shard: list[int] = field(default_factory=list)

    def close_shard(self, file: str) -> None:
        """Record the images of a finished shard and move it to `out`."""
        _, shard_text = Path(file).stem.rsplit("-", 1)
        shard = int(shard_text)
        with tarfile.open(file) as archive:
            images = [member for member in archive if not member.name.endswith(".json")]

        for row, image in zip(self.open_shard, images, strict=True):
            self.rows.append((row, shard, image.offset_data, image.size))
        self.open_shard.clear()
        _move_to(self.out, shard_name(shard), Path(file))


def _writing_order(listing: Listing) -> NDArray[np.int64]:
    """A random order of the listing's rows, or the order of the shards that they come from."""
    if isinstance(listing.root, ShardFolder):  # its images are shuffled already
        paths = listing.table["path"].to_list()
        return reading_order(listing.root, paths)

    rng = keyed_rng(0, "shards")
    return rng.permutation(listing.table.height)


def _write_images(
    listing: Listing,
    order: NDArray[np.int64],
    writer: Any,
    locations: _ImageLocations,
    tick: Tick,
) -> list[tuple[str, str]]:
    """Write the images to the shards; return path and reason of those that cannot be read."""
    missing = []
    for done, row in enumerate(order.tolist(), 1):
        path, label, group, split = listing.table.row(row)[:4]
        try:
            content = read_image(listing.root / path)
            _check_is_image(content)
        except ImageError as error:
            missing.append((path, error.reason))
            continue

        metadata = {
            "path": path,
            "label": label,
            "group": group,
            "split": split,
        }
        # Writing may first close the shard before, which this image is not in.
        writer.write(_make_sample(row, content, metadata))
        locations.open_shard.append(row)
        tick(done, listing.table.height)
    return missing


def _check_is_image(content: bytes) -> None:
    """Refuse what is no image under an image's name; damage shows where the image is decoded.

    Raises:
        ForeignError: the content is not an image.
    """
    if image_format(content[:HEAD_BYTES]):
        return
    # Some formats, such as ICO, have no signature here: Pillow knows them.
    try:
        claimed_size(content)
    except ForeignError:
        raise
    except ImageError:
        return


def _make_sample(row: int, content: bytes, metadata: dict[str, str]) -> dict[str, str | bytes]:
    """Make a WebDataset sample: the image under its suffix, and its metadata as JSON."""
    suffix = suffix_of(metadata["path"])
    extension = suffix.lstrip(".") if suffix in SUFFIX_FORMATS else "bin"
    text = json.dumps(metadata, ensure_ascii=False)
    return {
        "__key__": f"{row:012d}",
        extension: content,
        "json": text.encode(),
    }


def _make_index(listing: Listing, locations: _ImageLocations) -> pl.DataFrame:
    """Join the listing's rows with the locations of their images, columns as in `INDEX_SCHEMA`."""
    location_schema: dict[str, type[pl.DataType]] = {"row": pl.Int64}
    for name, kind in INDEX_SCHEMA.items():
        if name not in LISTING_SCHEMA:
            location_schema[name] = kind

    table = pl.DataFrame(locations.rows, schema=location_schema, orient="row")
    table = table.sort("row")
    columns = listing.table.select(list(LISTING_SCHEMA))
    images = columns[table["row"]]
    return images.hstack(table.drop("row")).sort("path")


def _write_index(index: pl.DataFrame, out: str | Path) -> None:
    with tempfile.TemporaryDirectory(prefix="bestiary-") as folder:
        file = Path(folder, INDEX)
        index.write_parquet(file, row_group_size=INDEX_ROWS)
        _move_to(out, INDEX, file)


def _move_to(out: str | Path, name: str, file: Path) -> None:
    """Move a finished file to a folder or store, atomically."""
    if not is_address(out):
        with atomic_path(Path(out) / name) as temporary:
            shutil.copyfile(file, temporary)
        file.unlink()
        return

    address = f"{location(out)}/{name}"
    try:
        put_file(file, address)
    except OSError as error:
        raise DataError(
            f"{out}/{name}: cannot be written ({error.strerror or error}); remove the cause and "
            f"start again"
        ) from None
    file.unlink()
