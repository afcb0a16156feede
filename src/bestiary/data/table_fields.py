"""Columns of a user's table -> time, camera, site and position, checked; others as they are.

The names of Darwin Core and of common camera-trap tables are known too. A value that makes no sense
is left empty, and counted in a note with an example. Knows nothing of paths and labels.
"""

from collections.abc import Callable

import polars as pl

from bestiary.data.folder_layout import quote_names
from bestiary.data.listing_types import LISTING_SCHEMA
from bestiary.data.table_values import clean_text
from bestiary.data.times import EXPECTED_TIME, iso_time
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.run.fields import FIELD_BOUNDS, FIELD_SCHEMA, MANIFEST_COLUMNS, MAX_OTHERS
from bestiary.tables import plain_column

ALIASES = {
    "datetime": "time",
    "timestamp": "time",
    "eventdate": "time",
    "cameraid": "camera",
    "camera_id": "camera",
    "location": "site",
    "locationid": "site",
    "site_id": "site",
    "latitude": "lat",
    "decimallatitude": "lat",
    "longitude": "lon",
    "decimallongitude": "lon",
    "bbox": "box",
    "eventid": "event",
    "seq_id": "event",
    "sequence": "event",
}
"""Other names of a column, in lower case -> its name. The first five are of Darwin Core, Camtrap DP
and COCO Camera Traps."""
ANSWER_COLUMNS = frozenset(
    (
        "confidence",
        *(f"{name}_{rank}" for rank in range(2, 6) for name in ("label", "confidence")),
        "member_agreement",
        "prediction_set",
        "accepted",
        "unknown",
        "members_used",
        "stopped_early",
        "removed",
        "sure_rank",
        "sure_taxon",
        "sure_confidence",
        "event_label",
        "event_confidence",
        "event_accepted",
        "error",
    )
)
"""Columns of predictions, see `bestiary.ensemble.predictions`."""
RESERVED = MANIFEST_COLUMNS | ANSWER_COLUMNS
NAMED = ("camera", "site", "event")  # columns of names, which are compared
SIMPLE = (pl.String, pl.Boolean, pl.Date, pl.Datetime, pl.Categorical, pl.Enum)


def read_fields(place: str, table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Read the columns of a table that are not path, label, group and split.

    Args:
        place: Name of the table, for errors.
        table: As it was read.

    Returns:
        The columns of `FIELD_SCHEMA` that it has, and then up to `MAX_OTHERS` others under their
        own names; and what was assumed, in words.

    Raises:
        DataError: Two columns have one meaning, or no time of a column can be read.
    """
    names, notes = _names_of_fields(place, table)
    fields: list[pl.Series] = []
    for name in FIELD_SCHEMA:
        if name in names:
            column, lines = _read_field(place, name, table[names[name]])
            fields.append(column)
            notes += lines
    fields, lines = _without_zeros(fields)
    notes += lines

    others, unused = _other_columns(table, set(names.values()))
    if others:
        notes.append(f"Columns handed through: {quote_names([one.name for one in others])}")
    if unused:
        notes.append(f"Columns not used: {quote_names(unused)}")
    return pl.DataFrame([*fields, *others]), notes


def _names_of_fields(place: str, table: pl.DataFrame) -> tuple[dict[str, str], list[str]]:
    """Find the columns of `FIELD_SCHEMA` by their names or other names, whatever their case."""
    names: dict[str, str] = {}
    renamed = []
    for column in table.columns:
        plain = plain_column(column)
        field = ALIASES.get(plain, plain)
        if field not in FIELD_SCHEMA:
            continue
        if field in names:
            raise DataError(
                f"{place}: has two columns of the {field} ({names[field]!r} and {column!r}); "
                f"rename one"
            )
        names[field] = column
        if field != plain:
            renamed.append(f"{column} as {field}")
    notes = [f"Columns: {', '.join(renamed)}"] if renamed else []
    return names, notes


def _read_field(place: str, name: str, values: pl.Series) -> tuple[pl.Series, list[str]]:
    """Read one column of `FIELD_SCHEMA`, and say what could not be read."""
    if FIELD_SCHEMA[name] == pl.Float64:
        return _read_numbers(name, values)
    if name in NAMED:
        text, notes = clean_text(_as_text(values).alias(name))
        return text, [*notes, *_alike(text)] if name == "site" else notes
    text = _as_text(values).str.strip_chars().replace("", None).alias(name)
    if name != "time":
        return text, []
    return _read_times(place, text)


def _alike(sites: pl.Series) -> list[str]:
    """Say which names may be of one site: two sites are never in one fold by being alike."""
    spellings: dict[str, list[str]] = {}
    for name in sites.drop_nulls().unique(maintain_order=True):
        spellings.setdefault(" ".join(name.casefold().split()), []).append(name)
    return [
        f"Sites: {quote_names(names)} differ in capitals or spaces alone, and are taken for "
        f"{len(names)} sites; write them alike if they are one"
        for names in spellings.values()
        if len(names) > 1
    ]


def _as_text(values: pl.Series) -> pl.Series:
    if values.dtype.is_nested():
        return values.map_elements(
            lambda parts: ",".join(str(part) for part in parts), return_dtype=pl.String
        )
    return values.cast(pl.String, strict=False)


def _read_times(place: str, text: pl.Series) -> tuple[pl.Series, list[str]]:
    times = _map_unique(text, iso_time).alias("time")
    bad = text.filter(times.is_null() & text.is_not_null())
    if len(bad) and len(bad) == len(text.drop_nulls()):
        raise DataError(
            f"{place}: no time can be read, such as {bad[0]!r}; write them as {EXPECTED_TIME}"
        )
    notes = []
    if len(bad):
        notes.append(unread_times(bad))
    with_clock = times.filter(times.str.contains("T"))
    n_zoneless = int((~with_clock.str.contains(r"[+-]\d\d:\d\d$")).sum() or 0)
    if n_zoneless:
        words = ("has no zone; it", "have no zone; each")
        notes.append(f"Times: {counted(n_zoneless, *words)} is taken for its camera's clock")
    return times, notes


def unread_times(bad: pl.Series) -> str:
    """Say how many times cannot be read.

    Args:
        bad: These, at least one.
    """
    verb = "is" if len(bad) == 1 else "are"
    return (
        f"Times: {len(bad):,} cannot be read, such as {bad[0]!r}, and {verb} left empty; write "
        f"them as {EXPECTED_TIME}"
    )


def _map_unique(text: pl.Series, function: Callable[[str], str | None]) -> pl.Series:
    """Map each different text once."""
    known = text.drop_nulls().unique()
    mapped = {one: function(one) for one in known}
    return text.replace_strict(mapped, default=None, return_dtype=pl.String)


def _read_numbers(name: str, values: pl.Series) -> tuple[pl.Series, list[str]]:
    """Read numbers within the bounds of a column; a decimal comma is taken for a point."""
    if values.dtype == pl.String:
        values = values.str.strip_chars().replace("", None)
        numbers = values.str.replace(",", ".", literal=True).cast(pl.Float64, strict=False)
    else:
        numbers = values.cast(pl.Float64, strict=False)
    low, high = FIELD_BOUNDS[name]
    is_good = numbers.is_between(low, high).fill_null(False)  # not a number included
    is_bad = ~is_good & values.is_not_null()
    bad = values.filter(is_bad)
    may_be_lon = name == "lat" and _are_longitudes(numbers.filter(is_bad))
    numbers = numbers.set(~is_good, None).alias(name)
    if not len(bad):
        return numbers, []
    hint = "; are lat and lon exchanged?" if may_be_lon else ""
    words = ("value is no number", "values are no numbers")
    verb = "is" if len(bad) == 1 else "are"
    return numbers, [
        f"Column {name}: {counted(len(bad), *words)} from {low:g} to {high:g}, such as "
        f"{bad[0]!r}, and {verb} left empty{hint}"
    ]


def _without_zeros(fields: list[pl.Series]) -> tuple[list[pl.Series], list[str]]:
    """Empty the positions 0, 0: how cameras and tables write that a place is not known."""
    places = {column.name: column for column in fields if column.name in ("lat", "lon")}
    if len(places) < 2:
        return fields, []
    is_zero = ((places["lat"] == 0) & (places["lon"] == 0)).fill_null(False)
    n_zero = int(is_zero.sum())
    if not n_zero:
        return fields, []
    emptied = [one.set(is_zero, None) if one.name in places else one for one in fields]
    words = (
        "position is 0, 0, which means none; it is",
        "positions are 0, 0, which means none; they are",
    )
    return emptied, [f"Places: {counted(n_zero, *words)} left empty"]


def _are_longitudes(values: pl.Series) -> bool:
    """Whether values that are no latitudes are longitudes."""
    low, high = FIELD_BOUNDS["lon"]
    return bool(values.is_between(low, high).fill_null(False).all())


def _other_columns(table: pl.DataFrame, used: set[str]) -> tuple[list[pl.Series], list[str]]:
    """Take the columns that have no meaning here; those that cannot be carried are named."""
    others: list[pl.Series] = []
    unused = []
    taken = set(FIELD_SCHEMA)
    for column in table.columns:
        name = column.strip()
        if column in used or name.casefold() in LISTING_SCHEMA:
            continue
        values = table[column]
        is_simple = values.dtype.is_numeric() or values.dtype in SIMPLE
        is_free = name and name.casefold() not in RESERVED and name not in taken
        if is_simple and is_free and len(others) < MAX_OTHERS:
            taken.add(name)
            others.append(_plain(values).alias(name))
        else:
            unused.append(column)
    return others, unused


def _plain(values: pl.Series) -> pl.Series:
    """Text where a column is neither of numbers nor of flags."""
    if values.dtype.is_numeric() or values.dtype == pl.Boolean:
        return values
    text = values.cast(pl.String)
    return text.replace("", None)
