"""What EXIF says of images -> the columns time, camera, lat and lon, where a table has none.

Knows nothing of tables and pixels.
"""

from collections.abc import Sequence

import polars as pl

from bestiary.data.image_info import ImageInfo
from bestiary.data.times import iso_of_seconds, iso_time
from bestiary.run.fields import FIELD_SCHEMA

EXIF_FIELDS = ("time", "camera", "lat", "lon")


def fill_from_exif(table: pl.DataFrame, infos: Sequence[ImageInfo]) -> pl.DataFrame:
    """Fill the gaps of time, camera and position with what EXIF says.

    A position is taken as a whole: from the table, or from EXIF.

    Args:
        table: Images.
        infos: Of each image.

    Returns:
        The table. A column that neither the table nor EXIF gives is not added.
    """
    rows = [(_time(info), info.camera or None, info.lat, info.lon) for info in infos]
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


def _time(info: ImageInfo) -> str | None:
    if not info.taken:
        return None
    local = iso_of_seconds(info.taken)
    return iso_time(local + info.zone) or local
