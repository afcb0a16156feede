"""Predictions -> a Camera Trap Data Package (Camtrap DP 1.0.2): deployments, media, observations.

See https://camtrap-dp.tdwg.org. A deployment is a site or, without sites, a camera. Each camera of
a site with several is a deployment of its own. Every image needs a time and a position: the
standard requires them.
"""

import json
import mimetypes
from pathlib import Path
from typing import Any

import polars as pl

from bestiary.atomic import atomic_path, write_text
from bestiary.data.events import EVENT
from bestiary.data.times import time_seconds
from bestiary.ensemble.exchange.answers import (
    ANIMAL,
    FAILED,
    UNCLASSIFIED,
    Classifier,
    with_exif,
    with_kind,
)
from bestiary.errors import DataError
from bestiary.numbers import counted
from bestiary.run.fields import FIELD_SCHEMA
from bestiary.storage.files import Root

PROFILE = "https://raw.githubusercontent.com/tdwg/camtrap-dp/1.0.2/"
NEEDED = ("time", "lat", "lon")
COLUMNS = {
    "deployments": (
        "deploymentID locationID locationName latitude longitude coordinateUncertainty "
        "deploymentStart deploymentEnd setupBy cameraID cameraModel cameraDelay "
        "cameraHeight cameraDepth cameraTilt cameraHeading detectionDistance "
        "timestampIssues baitUse featureType habitat deploymentGroups deploymentTags "
        "deploymentComments"
    ),
    "media": (
        "mediaID deploymentID captureMethod timestamp filePath filePublic fileName "
        "fileMediatype exifData favorite mediaComments"
    ),
    "observations": (
        "observationID deploymentID mediaID eventID eventStart eventEnd "
        "observationLevel observationType cameraSetupType scientificName count "
        "lifeStage sex behavior individualID individualPositionRadius "
        "individualPositionAngle individualSpeed bboxX bboxY bboxWidth bboxHeight "
        "classificationMethod classifiedBy classificationTimestamp "
        "classificationProbability observationTags observationComments"
    ),
}
"""Table -> its columns: the standard wants all of them, in this order."""
UNKNOWN_PLACE = "unnamed"  # deployment of images whose table names neither site nor camera


def write_camtrap_dp(
    folder: Path, predictions: pl.DataFrame, root: Root, classifier: Classifier
) -> list[str]:
    """Write predictions as a Camtrap DP.

    Args:
        folder: Of datapackage.json and the three tables.
        predictions: As `predict` writes them.
        root: Folder that their paths start from.
        classifier: What has classified.

    Returns:
        What was assumed or left out, in words.

    Raises:
        DataError: No image has a time and a position.
        BestiaryError: The folder cannot be written.
    """
    table, notes = _complete_rows(with_exif(with_kind(predictions), root))
    deployments = _deployments(table)
    tables = {
        "deployments": deployments,
        "media": _media(table),
        "observations": _observations(table, classifier),
    }
    for name, content in tables.items():
        with atomic_path(folder / f"{name}.csv") as temporary:
            _all_columns(name, content).write_csv(temporary)
    package = _package(tables, classifier)
    write_text(folder / "datapackage.json", json.dumps(package, indent=1, ensure_ascii=False))
    return notes


def _complete_rows(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """The rows that the standard can take, with their deployment and a time with a zone."""
    table = table.filter(pl.col("kind") != FAILED)
    for name in (*NEEDED, "site", "camera"):
        if name not in table.columns:
            table = table.with_columns(pl.lit(None, FIELD_SCHEMA[name]).alias(name))
    has_clock = pl.col("time").str.contains("T")
    is_complete = has_clock & pl.col("lat").is_not_null() & pl.col("lon").is_not_null()
    complete = table.filter(is_complete.fill_null(False))
    if complete.is_empty():
        raise DataError(
            "--camtrap-dp: no image has a time and a position, which Camtrap DP requires; predict "
            "a table with the columns path,time,lat,lon,site"
        )
    notes = []
    n_left_out = table["file"].n_unique() - complete["file"].n_unique()
    if n_left_out:
        notes.append(
            f"Camtrap DP: {counted(n_left_out, 'image')} without a time or a position left out"
        )
    has_zone = pl.col("time").str.contains(r"[+-]\d\d:\d\d$")
    n_zoneless = complete.filter(~has_zone)["file"].n_unique()
    if n_zoneless:
        notes.append(
            "Camtrap DP: "
            f"{counted(n_zoneless, 'time has no zone and is', 'times have no zone and are')} "
            "written as UTC; give it in the column time, such as 2026-07-01 05:03:20+02:00"
        )
    whole = pl.col("time").str.replace(r"\.\d+", "")
    time = pl.when(has_zone).then(whole).otherwise(whole + "Z").str.replace(r"\+00:00$", "Z")
    complete, of_deployments = _with_deployment(complete.with_columns(time.alias("timestamp")))
    return complete, [*notes, *of_deployments]


def _with_deployment(table: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
    """Add deploymentID and locationID; say which sites have several cameras or positions."""
    site = pl.col("site")
    camera = pl.col("camera")
    place = pl.coalesce(site, camera, pl.lit(UNKNOWN_PLACE))
    is_shared = site.is_not_null() & (camera.drop_nulls().n_unique().over("site") > 1)
    table = table.with_columns(
        pl.when(is_shared & camera.is_not_null())
        .then(pl.concat_str(site, camera, separator=", "))
        .otherwise(place)
        .alias("deploymentID"),
        place.alias("locationID"),
    )
    notes = []
    if n_shared := table.filter(is_shared)["site"].n_unique():
        notes.append(
            f"Camtrap DP: {counted(n_shared, 'site has', 'sites have')} several cameras; each is "
            f"a deployment"
        )
    n_positions = pl.struct("lat", "lon").n_unique().over("deploymentID")
    if n_moved := table.filter(n_positions > 1)["deploymentID"].n_unique():
        notes.append(
            f"Camtrap DP: {counted(n_moved, 'deployment has', 'deployments have')} several "
            f"positions; that of its first image is written"
        )
    return table, notes


def _all_columns(name: str, table: pl.DataFrame) -> pl.DataFrame:
    """A table with all columns of the standard, empty where nothing is known."""
    return table.select(
        pl.col(column) if column in table.columns else pl.lit(None).alias(column)
        for column in COLUMNS[name].split()
    )


def _seconds(table: pl.DataFrame) -> pl.Series:
    seconds = time_seconds(table["timestamp"].str.replace("Z$", "+00:00"))
    return seconds.alias("seconds")


def _deployments(table: pl.DataFrame) -> pl.DataFrame:
    ordered = table.with_columns(_seconds(table)).sort("deploymentID", "seconds")
    return ordered.group_by("deploymentID", maintain_order=True).agg(
        pl.col("locationID").first(),
        pl.col("lat").first().alias("latitude"),
        pl.col("lon").first().alias("longitude"),
        pl.col("timestamp").first().alias("deploymentStart"),
        pl.col("timestamp").last().alias("deploymentEnd"),
        pl.col("camera").drop_nulls().first().alias("cameraID"),
    )


def _media(table: pl.DataFrame) -> pl.DataFrame:
    media = table.unique("file", keep="first", maintain_order=True)
    kinds = [mimetypes.guess_type(file)[0] or "image/jpeg" for file in media["file"]]
    return media.select(
        pl.col("file").alias("mediaID"),
        "deploymentID",
        "timestamp",
        pl.col("file").alias("filePath"),
        pl.lit(False).alias("filePublic"),
        pl.col("file").str.split("/").list.last().alias("fileName"),
        pl.Series("fileMediatype", kinds),
    )


def _observations(table: pl.DataFrame, classifier: Classifier) -> pl.DataFrame:
    """One observation of each sample; the class only where it is accepted."""
    is_animal = pl.col("kind") == ANIMAL
    is_machine = pl.col("confidence").is_not_null()
    names = {label: classifier.scientific_name(label) for label in table["label"].unique()}
    best = pl.lit("most probable: ") + pl.col("label")
    boxes = _box_columns(table)
    event = pl.col(EVENT) if EVENT in table.columns else pl.lit(None, pl.String)
    of_event = pl.coalesce(event, pl.col("path"))
    table = table.sort(_seconds(table), maintain_order=True)
    start = pl.col("timestamp").first().over(of_event)
    end = pl.col("timestamp").last().over(of_event)
    return table.select(
        pl.col("path").alias("observationID"),
        "deploymentID",
        pl.col("file").alias("mediaID"),
        event.alias("eventID"),
        start.alias("eventStart"),
        end.alias("eventEnd"),
        pl.lit("media").alias("observationLevel"),
        pl.col("kind").alias("observationType"),
        pl.when(is_animal).then(pl.col("label").replace(names)).alias("scientificName"),
        pl.when(is_animal).then(1).alias("count"),
        *boxes,
        pl.lit("machine").alias("classificationMethod"),
        pl.when(is_machine).then(pl.lit(classifier.name)).alias("classifiedBy"),
        pl.when(is_machine).then(pl.lit(classifier.iso_time)).alias("classificationTimestamp"),
        pl.col("confidence").round(5).alias("classificationProbability"),
        pl.when(pl.col("kind") == UNCLASSIFIED).then(best).alias("observationComments"),
    )


def _box_columns(table: pl.DataFrame) -> list[pl.Expr]:
    names = ("bboxX", "bboxY", "bboxWidth", "bboxHeight")
    if "box" not in table.columns:
        return []
    parts = pl.col("box").str.split(",")
    return [
        parts.list.get(place, null_on_oob=True).cast(pl.Float64).alias(name)
        for place, name in enumerate(names)
    ]


def _package(tables: dict[str, pl.DataFrame], classifier: Classifier) -> dict[str, Any]:
    """The metadata: what the predictions say; people, licenses and design are the user's."""
    deployments = tables["deployments"]
    names = tables["observations"]["scientificName"].drop_nulls().unique().sort()
    west, east = _range(deployments["longitude"])
    south, north = _range(deployments["latitude"])
    ring = [[west, south], [east, south], [east, north], [west, north], [west, south]]
    return {
        "name": "bestiary-predictions",
        "title": "Predictions of bestiary",
        "profile": f"{PROFILE}camtrap-dp-profile.json",
        "created": classifier.iso_time,
        "contributors": [{"title": classifier.name, "role": "contributor"}],
        "project": {
            "title": "Predictions of bestiary",
            "samplingDesign": "opportunistic",
            "captureMethod": ["activityDetection"],
            "individualAnimals": False,
            "observationLevel": ["media"],
        },
        "spatial": {"type": "Polygon", "coordinates": [ring]},
        "temporal": {
            "start": str(deployments["deploymentStart"].str.head(10).min()),
            "end": str(deployments["deploymentEnd"].str.head(10).max()),
        },
        "taxonomic": [_taxon(name, classifier) for name in names],
        "resources": [
            {
                "name": name,
                "path": f"{name}.csv",
                "profile": "tabular-data-resource",
                "format": "csv",
                "mediatype": "text/csv",
                "encoding": "utf-8",
                "schema": f"{PROFILE}{name}-table-schema.json",
            }
            for name in tables
        ],
    }


def _range(degrees: pl.Series) -> tuple[float, float]:
    values = degrees.to_list()
    return min(values), max(values)


def _taxon(name: str, classifier: Classifier) -> dict[str, Any]:
    taxon: dict[str, Any] = {"scientificName": name}
    if classifier.taxonomy is None:
        return taxon
    label = next(one for one in classifier.classes if classifier.scientific_name(one) == name)
    for rank in ("genus", "family", "order", "class", "phylum", "kingdom", "taxonID"):
        value = classifier.taxonomy.column(rank).get(label)
        if value:
            taxon[rank] = value
    vernacular = classifier.taxonomy.column("vernacularName").get(label)
    if vernacular:
        taxon["vernacularNames"] = {"eng": vernacular}
    return taxon
