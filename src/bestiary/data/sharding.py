"""Listed images -> tar shards in WebDataset's layout and their index, on a disk or in a store.

Images are written as they are, in an order drawn once, so that every shard holds a mixture of the
classes and a buffer of a few shards shuffles well. One shard at a time is on this disk. Knows
nothing of what is read from shards.
"""

import json
import shutil
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.data.decode import read_image
from bestiary.data.listing import Listing
from bestiary.display import Display
from bestiary.errors import DataError, ImageError
from bestiary.rng import keyed_rng
from bestiary.storage.files import is_address, location, put_file
from bestiary.storage.places import reading_order
from bestiary.storage.shards import INDEX, INDEX_ROWS, SCHEMA, ShardFolder, has_index, shard_name


@dataclass(frozen=True, slots=True)
class ShardSummary:
    """What was written where.

    Attributes:
        place: path or address of the shards.
        images: their number.
        shards: their number.
        missing: path and reason of images that could not be read.
    """

    place: str
    images: int
    shards: int
    missing: list[tuple[str, str]]

    @property
    def exit_code(self) -> int:
        """1 where images are missing."""
        return int(bool(self.missing))

    def __str__(self) -> str:
        lines = [f"{self.images:,} images in {self.shards:,} shards in {self.place}"]
        lines += [f"Left out: {path} ({reason})" for path, reason in self.missing[:10]]
        if len(self.missing) > 10:
            lines.append(f"... and {len(self.missing) - 10:,} more")
        return "\n".join(lines)


def write_shards(
    listing: Listing, out: str | Path, megabytes: int, display: Display
) -> ShardSummary:
    """Write the images of `listing` as shards of about `megabytes` each; the index comes last, and
    makes them count.

    Raises:
        DataError: `out` has shards already, none of the images can be read, or a store cannot be
            written.
        BestiaryError: the folder cannot be written.
    """
    try:
        from webdataset import ShardWriter
    except ImportError:
        raise DataError(
            "shard: webdataset is not installed; pip install 'bestiary[storage]'"
        ) from None
    if has_index(out):
        raise DataError(f"{out}: holds shards already ({INDEX}); choose another folder")
    rows, missing, places = (
        listing.table,
        list[tuple[str, str]](),
        list[tuple[int, int, int, int]](),
    )
    order = keyed_rng(0, "shards").permutation(rows.height)
    if isinstance(listing.root, ShardFolder):  # which is mixed already
        order = reading_order(listing.root, rows["path"].to_list())
    written: list[int] = []  # rows of the shard that is being written

    def close(file: str) -> None:
        number = int(Path(file).stem.rsplit("-", 1)[1])
        with tarfile.open(file) as archive:
            members = [member for member in archive if not member.name.endswith(".json")]
        places.extend(
            (row, number, m.offset_data, m.size) for row, m in zip(written, members, strict=True)
        )
        written.clear()
        _put(Path(file), out, shard_name(number))

    with (
        tempfile.TemporaryDirectory(prefix="bestiary-") as folder,
        display.counter("Writing shards") as tick,
    ):
        pattern = f"{folder}/shard-%06d.tar"
        # mtime: the same images are the same bytes
        with ShardWriter(
            pattern,
            maxcount=1 << 40,
            maxsize=megabytes * 1e6,
            post=close,
            verbose=0,
            encoder=False,
            mtime=0.0,
        ) as writer:
            for done, row in enumerate(order.tolist(), 1):
                path, label, group, split = rows.row(row)[:4]
                try:
                    content = read_image(listing.root / path)
                except ImageError as error:
                    missing.append((path, error.reason))
                    continue
                said = json.dumps(
                    {"path": path, "label": label, "group": group, "split": split},
                    ensure_ascii=False,
                )
                suffix = Path(path).suffix.lower().lstrip(".") or "bin"
                written.append(row)
                writer.write({"__key__": f"{row:012d}", suffix: content, "json": said.encode()})
                tick(done, rows.height)
    if not places:
        raise DataError(f"{listing.root}: none of its {rows.height:,} images can be read")
    found = pl.DataFrame(
        places, schema={"row": pl.Int64, **dict(list(SCHEMA.items())[4:])}, orient="row"
    ).sort("row")
    index = (
        rows.select("path", "label", "group", "split")[found["row"]]
        .hstack(found.drop("row"))
        .sort("path")
    )
    with tempfile.TemporaryDirectory(prefix="bestiary-") as folder:
        index.write_parquet(f"{folder}/{INDEX}", row_group_size=INDEX_ROWS)
        _put(Path(folder, INDEX), out, INDEX)
    return ShardSummary(str(out), index.height, int(index["shard"].n_unique()), sorted(missing))


def _put(file: Path, out: str | Path, name: str) -> None:
    """Move a finished file to its place, whole or not at all."""
    if not is_address(out):
        with atomic_path(Path(out) / name) as temporary:
            shutil.copyfile(file, temporary)
        file.unlink()
        return
    try:
        put_file(file, f"{location(out)}/{name}")
    except OSError as error:
        raise DataError(
            f"{out}/{name}: cannot be written ({error.strerror or error}); see to it and begin "
            f"again"
        ) from None
    file.unlink()
