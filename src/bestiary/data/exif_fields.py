"""What EXIF says of images -> the columns time, camera, lat and lon, where a table has none.

Knows nothing of tables and pixels.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import polars as pl

from bestiary.cores import cores
from bestiary.data.exif_time import Taken, read_taken
from bestiary.data.image_info import ImageInfo
from bestiary.data.pillow_files import open_in_pillow
from bestiary.data.times import iso_of_seconds, iso_time
from bestiary.run.fields import FIELD_SCHEMA
from bestiary.storage.boxes import BoxFolder
from bestiary.storage.files import Readable, Root, read_file

EXIF_FIELDS = ("time", "camera", "lat", "lon")


def taken_of(info: ImageInfo) -> Taken:
    """What EXIF says of an image that is known."""
    return Taken(info.taken, info.camera, info.zone, info.lat, info.lon)


def fill_from_exif(table: pl.DataFrame, taken: Sequence[Taken]) -> pl.DataFrame:
    """Fill the gaps of time, camera and position with what EXIF says.

    A position is taken as a whole: from the table, or from EXIF.

    Args:
        table: Images.
        taken: What EXIF says of each image.

    Returns:
        The table. A column that neither the table nor EXIF gives is not added.
    """
    rows = [(_time(one), one.camera or None, one.lat, one.lon) for one in taken]
    schema = {name: FIELD_SCHEMA[name] for name in EXIF_FIELDS}
    exif = pl.DataFrame(rows, schema=schema, orient="row")
    given = [table[name].is_not_null() for name in ("lat", "lon") if name in table.columns]
    has_position = pl.any_horizontal(pl.lit(False), *given)
    exif = exif.with_columns(
        pl.when(~has_position).then(pl.col(name)).alias(name) for name in ("lat", "lon")
    )
    columns = []
    for name in EXIF_FIELDS:
        if name in table.columns:
            columns.append(pl.select(pl.coalesce(table[name], exif[name]).alias(name)).to_series())
        elif exif[name].null_count() < len(exif):
            columns.append(exif[name])
    return table.with_columns(columns)


def _time(taken: Taken) -> str | None:
    if not taken.seconds:
        return None
    local = iso_of_seconds(taken.seconds)
    return iso_time(local + taken.zone) or local


def read_exif_fields(table: pl.DataFrame, root: Root) -> pl.DataFrame:
    """Fill the gaps of time, camera and position from the headers of the files.

    Args:
        table: With the column file; a file may have several rows.
        root: Folder that the files start from.

    Returns:
        The table, see `fill_from_exif`. A file that cannot be read gives nothing.
    """
    plain = root.folder if isinstance(root, BoxFolder) else root
    files = table["file"].unique().to_list()
    with ThreadPoolExecutor(cores()) as pool:
        found = pool.map(lambda file: _read_taken(plain / file), files)
        taken = dict(zip(files, found, strict=True))
    return fill_from_exif(table, [taken[file] for file in table["file"]])


def _read_taken(file: Readable) -> Taken:
    try:
        with open_in_pillow(read_file(file)) as image:
            return read_taken(image)
    except Exception:  # Pillow raises anything on damaged headers; then EXIF says nothing
        return Taken()
