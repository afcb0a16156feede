"""Predictions -> a CSV of Darwin Core occurrences, whose terms GBIF and others read.

One row for each animal that was found, classified or not; blank images are no occurrences. See
https://dwc.tdwg.org/terms. Darwin Core has no term for a probability, so it stands in
dynamicProperties, as JSON.
"""

import json
from pathlib import Path

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.ensemble.exchange.answers import (
    ANIMAL,
    UNCLASSIFIED,
    Classifier,
    with_exif,
    with_kind,
)
from bestiary.run.taxonomy import RANKS
from bestiary.storage.files import Root
from bestiary.tables import escape_formulas

FROM_FIELDS = {
    "eventDate": "time",
    "locationID": "site",
    "decimalLatitude": "lat",
    "decimalLongitude": "lon",
}


def write_darwin_core(
    file: Path, predictions: pl.DataFrame, root: Root, classifier: Classifier
) -> None:
    """Write predictions as Darwin Core occurrences.

    Args:
        file: The CSV file.
        predictions: As `predict` writes them.
        root: Folder that their paths start from.
        classifier: What has classified.

    Raises:
        BestiaryError: The file cannot be written.
    """
    table = with_exif(with_kind(predictions), root)
    table = table.filter(pl.col("kind").is_in([ANIMAL, UNCLASSIFIED]))
    is_animal = pl.col("kind") == ANIMAL
    labels = table["label"].unique()
    names = {label: classifier.scientific_name(label) for label in labels}
    fields = [pl.col(own).alias(term) for term, own in FROM_FIELDS.items() if own in table.columns]
    details = pl.struct("confidence", "label").map_elements(_details, return_dtype=pl.String)
    occurrences = table.select(
        pl.col("path").alias("occurrenceID"),
        pl.lit("MachineObservation").alias("basisOfRecord"),
        pl.lit("present").alias("occurrenceStatus"),
        pl.when(is_animal).then(pl.col("label").replace(names)).alias("scientificName"),
        *_taxa(labels, classifier, is_animal),
        *fields,
        *([pl.lit("WGS84").alias("geodeticDatum")] if "lat" in table.columns else []),
        pl.col("file").alias("associatedMedia"),
        pl.lit(classifier.name).alias("identifiedBy"),
        pl.lit(classifier.iso_time).alias("dateIdentified"),
        pl.when(is_animal)
        .then(pl.lit("unverified"))
        .otherwise(pl.lit(UNCLASSIFIED))
        .alias("identificationVerificationStatus"),
        details.alias("dynamicProperties"),
    )
    with atomic_path(file) as temporary:
        escape_formulas(occurrences).write_csv(temporary)


def _taxa(labels: pl.Series, classifier: Classifier, is_animal: pl.Expr) -> list[pl.Expr]:
    """The ranks of the taxonomy, empty where a row is unclassified."""
    if classifier.taxonomy is None:
        return []
    columns = []
    for rank in reversed(RANKS):
        taxon_of = classifier.taxonomy.column(rank)
        if taxon_of:
            known = {label: taxon_of.get(label) for label in labels}
            taxon = pl.col("label").replace_strict(known, return_dtype=pl.String)
            columns.append(pl.when(is_animal).then(taxon).alias(rank))
    return columns


def _details(row: dict[str, object]) -> str:
    """Class and probability as JSON."""
    confidence = row["confidence"]
    probability = round(confidence, 5) if isinstance(confidence, float) else None
    details = {"class": row["label"], "classificationProbability": probability}
    return json.dumps(details, ensure_ascii=False)
