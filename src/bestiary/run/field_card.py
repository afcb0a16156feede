"""field.json of a run -> what predict needs in the field: checked settings and calibrations.

A run may come from a stranger, so every value is validated before it is used.
"""

from dataclasses import dataclass
from typing import Annotated, Any

import numpy as np
import polars as pl
from pydantic import Field, ValidationError

from bestiary.errors import DamagedError
from bestiary.run.finished_files import finished_file
from bestiary.run.json_files import JsonSection, first_problem
from bestiary.run.layout import FIELD
from bestiary.run.run import Run
from bestiary.stats.calibration import NEVER, RISKS, Calibration
from bestiary.stats.place_prior import PriorSettings, Sightings

MAX_LEVELS = 20
Threshold = Annotated[float, Field(ge=0, le=NEVER)]


class _Events(JsonSection):
    seconds: float = Field(ge=0, le=1e9)
    calibration: dict[str, Any]


class _Prior(JsonSection):
    kilometers: float = Field(gt=0, le=1e5)
    smoothing: float = Field(gt=0, le=1e9)
    strength: float = Field(ge=0, le=10)
    calibration: dict[str, Any]


class _Ranks(JsonSection):
    levels: list[Annotated[str, Field(max_length=100)]] = Field(min_length=1, max_length=MAX_LEVELS)
    thresholds: dict[str, list[Threshold]]


class _Card(JsonSection):
    events: _Events | None = None
    prior: _Prior | None = None
    ranks: _Ranks | None = None


@dataclass(frozen=True, slots=True)
class FieldCard:
    """What changes the answers of a run in the field; what is None does not.

    Attributes:
        event_seconds: longest time between two images of an event.
        events: calibration of the answers of events.
        prior: how the labels near a place and month count.
        prior_calibration: calibration of answers with that prior.
        levels: names of the levels of a taxonomy, the classes first.
        thresholds: risk -> least confidence at each level.
    """

    event_seconds: float = 0.0
    events: Calibration | None = None
    prior: PriorSettings | None = None
    prior_calibration: Calibration | None = None
    levels: tuple[str, ...] = ()
    thresholds: dict[float, list[float]] | None = None


def read_field_card(run: Run, classes: int) -> FieldCard:
    """Read field.json.

    Args:
        run: the run.
        classes: number of its classes.

    Returns:
        The card; without anything where the run has no such file.

    Raises:
        DamagedError: the file is damaged, or a value in it cannot be one.
    """
    file = finished_file(run.path, FIELD)
    if not file.exists():
        return FieldCard()
    try:
        card = _Card.model_validate(run.read_json(FIELD))
        return _to_card(card, classes)
    except ValidationError as error:
        raise DamagedError.foreign(file, first_problem(error)) from None
    except (KeyError, TypeError, ValueError) as error:
        raise DamagedError.foreign(file, repr(error)) from None


def _to_card(card: _Card, classes: int) -> FieldCard:
    prior = card.prior
    ranks = card.ranks
    thresholds = None
    if ranks:
        thresholds = {float(risk): values for risk, values in ranks.thresholds.items()}
        lengths = {len(values) for values in thresholds.values()}
        if set(thresholds) != set(RISKS) or lengths != {len(ranks.levels)}:
            raise ValueError("ranks.thresholds")
    return FieldCard(
        event_seconds=card.events.seconds if card.events else 0.0,
        events=_calibration(card.events.calibration, classes) if card.events else None,
        prior=PriorSettings(prior.kilometers, prior.smoothing, prior.strength) if prior else None,
        prior_calibration=_calibration(prior.calibration, classes) if prior else None,
        levels=tuple(ranks.levels) if ranks else (),
        thresholds=thresholds,
    )


def _calibration(entry: dict[str, Any], classes: int) -> Calibration:
    calibration = Calibration.read(entry)
    if any(len(limits) != classes for limits in calibration.class_prediction_sets.values()):
        raise ValueError("calibration.class_prediction_sets")
    return calibration


def read_sightings(table: pl.DataFrame) -> Sightings | None:
    """Read when and where images were taken.

    Args:
        table: rows of a manifest or of a listing.

    Returns:
        The sightings; None where the table has no positions.
    """
    if not {"lat", "lon"} <= set(table.columns):
        return None
    month = np.zeros(table.height, np.int64)
    if "time" in table.columns:
        text = table["time"].str.slice(5, 2).cast(pl.Int64, strict=False).fill_null(0)
        month = text.to_numpy().copy()
        month[(month < 1) | (month > 12)] = 0
    lat = table["lat"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    lon = table["lon"].cast(pl.Float64).fill_null(np.nan).to_numpy()
    sightings = Sightings(lat, lon, month)
    return sightings if sightings.has_place.any() else None
