"""Columns of a user's table: time, camera, site and position, checked; others handed through."""

from pathlib import Path

import polars as pl
import pytest
from PIL import ExifTags, Image

from bestiary.data.audit import Audit, audit_images
from bestiary.data.listing import list_labeled
from bestiary.data.manifest import SCHEMA
from bestiary.data.table_fields import RESERVED, read_fields
from bestiary.data.times import iso_time, time_seconds
from bestiary.display import Display
from bestiary.ensemble.field_answers import EVENT_SCHEMA
from bestiary.ensemble.field_rules import RANK_SCHEMA, REMOVED_SCHEMA
from bestiary.ensemble.prediction_table import CASCADE_SCHEMA
from bestiary.errors import DataError
from bestiary.run.fields import FIELD_SCHEMA, MANIFEST_COLUMNS


def read(**columns: list[object]) -> tuple[pl.DataFrame, list[str]]:
    return read_fields("t.csv", pl.DataFrame(columns))


def test_each_column_of_bestiary_is_reserved() -> None:
    assert set(SCHEMA) == MANIFEST_COLUMNS
    assert set(CASCADE_SCHEMA | EVENT_SCHEMA | REMOVED_SCHEMA | RANK_SCHEMA) - {"path"} <= RESERVED


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-07-01 05:03:20", "2026-07-01T05:03:20"),
        ("2026:07:01 05:03:20", "2026-07-01T05:03:20"),
        ("2026/7/1 5:03", "2026-07-01T05:03:00"),
        ("2026-07-01T05:03:20.5Z", "2026-07-01T05:03:20.500000+00:00"),
        ("2026-07-01 05:03:20.000000 UTC", "2026-07-01T05:03:20+00:00"),
        ("2026-07-01T05:03:20-0330", "2026-07-01T05:03:20-03:30"),
        ("2026-07-01", "2026-07-01"),
        ("01/07/2026 05:03", None),
        ("2026-02-30 05:03", None),
        ("2026-07-01 25:03", None),
        ("2026-07-01 05:03:20+99:00", None),
        ("0000-00-00 00:00:00", None),
        ("yesterday", None),
    ],
)
def test_times_are_read_or_refused(text: str, expected: str | None) -> None:
    assert iso_time(text) == expected


def test_seconds_heed_the_zone() -> None:
    times = ["2026-07-01T05:03:20", "2026-07-01T07:03:20+02:00", "2026-07-01", None, "2026-99T"]
    seconds = time_seconds(pl.Series(times, dtype=pl.String)).to_list()
    assert seconds[0] == seconds[1]
    assert seconds[2:] == [None, None, None]


def test_fields_are_read_under_other_names() -> None:
    table, notes = read(
        eventDate=["2026-07-01 05:03:20+02:00"], decimalLatitude=["47,5"], locationID=["A"]
    )
    assert table.row(0, named=True) == {
        "time": "2026-07-01T05:03:20+02:00",
        "site": "A",
        "lat": 47.5,
    }
    assert notes == ["Columns: eventDate as time, decimalLatitude as lat, locationID as site"]


def test_two_columns_of_one_meaning_are_refused() -> None:
    with pytest.raises(DataError, match="two columns of the lat"):
        read(lat=["1"], Latitude=["2"])


def test_positions_outside_the_earth_are_left_empty() -> None:
    table, notes = read(lat=["91", "nan", "x", "-47.5", None], lon=["0", "0", "0", "0", "0"])
    assert table["lat"].to_list() == [None, None, None, -47.5, None]
    assert notes == [
        "Column lat: 3 values are no numbers from -90 to 90, such as '91', and are left empty"
    ]


def test_times_that_cannot_be_read_are_counted() -> None:
    table, notes = read(time=["31.12.2026", "2026-12-31 10:00", None])
    assert table["time"].to_list() == [None, "2026-12-31T10:00:00", None]
    assert notes[0].startswith("Times: 1 cannot be read, such as '31.12.2026', and is left empty")
    assert notes[1] == "Times: 1 has no zone; it is taken for its camera's clock"
    with pytest.raises(DataError, match=r"no time can be read.*2026-12-31 23:59:59"):
        read(time=["31.12.2026"])


def test_other_columns_are_handed_through() -> None:
    table, notes = read(observer=["Ada", ""], count=[1, 2], sha256=["x", "y"], error=["", ""])
    assert table.rows() == [("Ada", 1), (None, 2)]
    assert notes == [
        "Columns handed through: count, observer",
        "Columns not used: error, sha256",
    ]


def photograph(file: Path, gray: int, east: float = 8.0) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Model] = "Box 1"
    details = exif.get_ifd(ExifTags.IFD.Exif)
    details[ExifTags.Base.DateTimeOriginal] = "2026:07:01 05:03:20"
    details[ExifTags.Base.OffsetTimeOriginal] = "+02:00"
    place = exif.get_ifd(ExifTags.IFD.GPSInfo)
    place[ExifTags.GPS.GPSLatitude] = (47.0, 30.0, 0.0)
    place[ExifTags.GPS.GPSLatitudeRef] = "S"
    place[ExifTags.GPS.GPSLongitude] = (east, 15.0, 0.0)
    place[ExifTags.GPS.GPSLongitudeRef] = "E"
    file.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (40, 40), (gray, 90, 200 - gray)).save(file, exif=exif)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    photograph(tmp_path / "d/a/1.jpg", 20)
    photograph(tmp_path / "d/b/2.jpg", 120, east=200.0)
    Image.new("RGB", (40, 40), (200, 1, 1)).save(tmp_path / "d/b/3.png")
    return tmp_path / "d"


def audited(data: Path) -> Audit:
    return audit_images(list_labeled(data), Display(quiet=True))


def test_exif_gives_time_camera_and_position(folder: Path) -> None:
    rows = audited(folder).manifest.table.select("time", "camera", "lat", "lon").rows()
    assert rows[0] == ("2026-07-01T05:03:20+02:00", "Box 1", -47.5, 8.25)
    assert rows[1] == ("2026-07-01T05:03:20+02:00", "Box 1", None, None)
    assert rows[2] == (None, None, None, None)


def test_a_table_goes_before_exif(folder: Path) -> None:
    table = folder / "t.csv"
    table.write_text(
        "path,label,site,time,lat,split,observer\n"
        "a/1.jpg,a,north,2026-01-01 10:00,12,,Ada\n"
        "b/2.jpg,b,south,,,,Bo\n"
        "b/3.png,b,south,,,test,Cy\n"
    )
    found = audited(table)
    columns = ["time", "camera", "site", "lat", "observer"]
    assert found.manifest.table.columns == [*SCHEMA, *columns, "event"]
    rows = found.images.select(columns).rows()
    assert rows[0] == ("2026-01-01T10:00:00", "Box 1", "north", 12.0, "Ada")
    assert rows[1] == ("2026-07-01T05:03:20+02:00", "Box 1", "south", None, "Bo")
    assert rows[2] == (None, None, "south", None, "Cy")


def test_images_without_either_have_no_columns(folder: Path) -> None:
    for path in ("a/1.jpg", "b/2.jpg"):
        with Image.open(folder / path) as image:
            image.convert("RGB").save(folder / path)
    table = audited(folder).manifest.table
    assert table.columns == list(SCHEMA)
    assert not set(FIELD_SCHEMA) & set(table.columns)


def test_sites_that_are_alike_are_told() -> None:
    table, notes = read(site=["Brook ", "brook", "Ba\u0308ch", "B\u00e4ch", "nan", "NA"])
    assert table["site"].to_list() == ["Brook", "brook", "B\u00e4ch", "B\u00e4ch", None, "NA"]
    assert notes == [
        "Missing: 1 value of the column site written nan",
        "Sites: NA is taken for a site; empty the cell where it means none",
        "Sites: Brook, brook differ in capitals or spaces alone, and are taken for 2 sites; write "
        "them alike if they are one",
    ]


def test_positions_that_cannot_be_are_empty() -> None:
    table, notes = read(lat=["121,5", "120.9"], lon=["24,9", "25"])
    assert table["lat"].to_list() == [None, None]
    assert notes[0].endswith("and are left empty; are lat and lon exchanged?")
    table, notes = read(lat=[0.0, 46.0, None], lon=[0.0, 0.0, 0.0])
    assert table["lat"].to_list() == [None, 46.0, None]
    assert table["lon"].to_list() == [None, 0.0, 0.0]
    assert notes == ["Places: 1 position is 0, 0, which means none; it is left empty"]
