"""The columns of a manifest that tell where, when and of what part an image is: names and types.

A manifest has such a column only if a table, a detector or EXIF gives a value of it. Other columns
of a user's table follow them under their own names. Knows nothing of where the values come from.
"""

from collections.abc import Sequence

import polars as pl

FIELD_SCHEMA = {
    # Path of the image file, where the sample is a box of it. `path` then ends with the box.
    "image": pl.String,
    # x,y,width,height of the box as shares of the upright image, from its top left corner.
    "box": pl.String,
    "detection": pl.Float64,  # the detector's confidence in the box, 0 to 1
    # ISO 8601, such as 2026-07-01T05:03:20+02:00. Without a zone: by the camera's own clock.
    "time": pl.String,
    "camera": pl.String,  # as the table names it, or maker, model and serial number of EXIF
    "site": pl.String,  # the place of a camera, as the table names it
    "lat": pl.Float64,  # degrees north, WGS 84
    "lon": pl.Float64,  # degrees east
    # A name that the frames of one event share, see `bestiary.data.events`.
    "event": pl.String,
}
FIELD_BOUNDS = {
    "detection": (0.0, 1.0),
    "lat": (-90.0, 90.0),
    "lon": (-180.0, 180.0),
}
MANIFEST_COLUMNS = frozenset(
    (
        "path",
        "label",
        "group",
        "split",
        "size_bytes",
        "height",
        "width",
        "sha256",
        "pixel_sha256",
        "warning",
        "duplicate_group",
        "label_conflict",
    )
)
"""Columns of every manifest, see `bestiary.data.manifest`."""
MAX_OTHERS = 100  # columns of a table that are handed through; more are not used


def carried_columns(columns: Sequence[str]) -> list[str]:
    """Select the columns that outputs carry: `FIELD_SCHEMA`, then others of the user's table.

    Args:
        columns: of a manifest or of a listing.

    Returns:
        Their names, in the order of outputs.

    Example:
        >>> carried_columns(["path", "label", "group", "split", "observer", "site"])
        ['site', 'observer']
    """
    fields = [name for name in FIELD_SCHEMA if name in columns]
    others = [name for name in columns if name not in FIELD_SCHEMA and name not in MANIFEST_COLUMNS]
    return fields + others[:MAX_OTHERS]
