"""A run and what the user allows -> rules that change its answers in the field, batch by batch.

The prior of place and month is added to the logits; then classes that are not allowed are removed;
then the lowest rank that is sure is found. Knows nothing of files of predictions.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.clocks import doubt_clocks, trust_clocks, without_times
from bestiary.data.folds import leak_groups
from bestiary.numbers import counted
from bestiary.run.field_card import FieldCard, read_field_card, read_sightings
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.run.taxonomy import read_run_taxonomy
from bestiary.stats.calibration import Calibration
from bestiary.stats.place_prior import PlacePrior
from bestiary.stats.ranks import lowest_sure

Floats = NDArray[np.float64]
REMOVED_SCHEMA = {"removed": pl.Float64}
RANK_SCHEMA = {"sure_rank": pl.String, "sure_taxon": pl.String, "sure_confidence": pl.Float64}


@dataclass(frozen=True, slots=True)
class Level:
    """A level of a taxonomy.

    Attributes:
        rank: its name.
        taxa: names of its taxa.
        taxon_of: number of each class' taxon (classes,).
    """

    rank: str
    taxa: Sequence[str]
    taxon_of: NDArray[np.int64]


@dataclass(frozen=True)
class FieldRules:
    """What changes the answers of an ensemble in the field.

    Attributes:
        calibration: of the ensemble; None: it is not calibrated.
        card: what the run has learnt for the field.
        allowed: whether each class may be answered (classes,); None: all may.
        prior: labels by place and month; None: they do not count.
        levels: of the taxonomy, the classes first; empty: there is none.
        undated: paths of images whose time cannot be right, so that their month does not count.
    """

    calibration: Calibration | None
    card: FieldCard
    allowed: NDArray[np.bool_] | None = None
    prior: PlacePrior | None = None
    levels: tuple[Level, ...] = ()
    undated: pl.Series = field(default_factory=lambda: pl.Series(dtype=pl.String))

    @classmethod
    def load(
        cls,
        run: Run,
        classes: list[str],
        calibration: Calibration | None,
        allowed: NDArray[np.bool_] | None,
        *,
        with_prior: bool = True,
    ) -> "FieldRules":
        """Read the rules of a run.

        Args:
            run: the run.
            classes: in the order of the logits.
            calibration: of its ensemble; without one, only `allowed` counts.
            allowed: see the attribute.
            with_prior: whether place and month may count.

        Returns:
            The rules.

        Raises:
            DamagedError: a file of the run is damaged.
        """
        if calibration is None:
            return cls(None, FieldCard(), allowed)
        card = read_field_card(run, len(classes))
        prior = _learn_prior(run, classes) if card.prior and with_prior else None
        return cls(calibration, card, allowed, prior, _read_levels(run, classes, card))

    def for_images(self, table: pl.DataFrame) -> "FieldRules":
        """The rules for the images of a listing: clocks are judged by all of them together."""
        return replace(self, undated=table["path"].filter(doubt_clocks(table).is_not_null()))

    @property
    def schema(self) -> dict[str, Any]:
        """Further columns of a table of predictions, with their types."""
        schema: dict[str, Any] = {}
        if self.allowed is not None:
            schema |= REMOVED_SCHEMA
        if self.levels:
            schema |= RANK_SCHEMA
        return schema

    @property
    def is_empty(self) -> bool:
        """Whether answers stay as they are, and events have none."""
        return not (self.schema or self.prior or self.card.events)

    def describe_prior(self, table: pl.DataFrame) -> str:
        """Say for how many images place and month count; empty if for none."""
        sightings = read_sightings(table)
        if self.prior is None or sightings is None:
            return ""
        return (
            f"Place and month count for {sightings.has_place.sum():,} of "
            f"{counted(table.height, 'image')}, as the run's labels near by are (--no-prior: not "
            "at all)"
        )

    def request(self) -> dict[str, Any]:
        """What rows that are to be continued must have in common."""
        request: dict[str, Any] = {}
        if self.allowed is not None:
            request["only"] = np.flatnonzero(self.allowed).tolist()
        if self.prior is not None:
            request["place and month"] = True
        return request

    def prior_of(self, rows: pl.DataFrame) -> Floats | None:
        """Compute what place and month add to the calibrated logits of images.

        Args:
            rows: of a listing.

        Returns:
            (images, classes); None where place and month do not count.
        """
        sightings = read_sightings(without_times(rows, self.undated))
        if self.prior is None or self.card.prior is None or sightings is None:
            return None
        return self.prior.log_ratio(sightings, self.card.prior)

    def field_logits(self, logits: NDArray[np.floating], added: Floats | None) -> Floats:
        """Calibrate logits and add the prior.

        Args:
            logits: (members, images, classes).
            added: see `prior_of`.

        Returns:
            (members, images, classes).
        """
        temperature = self.calibration.temperature if self.calibration else 1.0
        calibrated = np.asarray(logits, np.float64) / temperature
        return calibrated if added is None else calibrated + added

    def calibration_of(self, added: Floats | None) -> list[tuple[NDArray[np.bool_], Calibration]]:
        """Tell which calibration is for which images of a batch.

        Args:
            added: see `prior_of` (images, classes); None: no image has a prior.

        Returns:
            Flags (images,) and the calibration of the images that have them; each image is in one.
        """
        if self.calibration is None or added is None or self.card.prior_calibration is None:
            return []
        has_prior = np.abs(added).max(axis=1) > 0
        return [(has_prior, self.card.prior_calibration), (~has_prior, self.calibration)]

    def remove(self, probabilities: Floats) -> tuple[Floats, Floats]:
        """Take the classes that are not allowed out of probabilities.

        Args:
            probabilities: (images, classes).

        Returns:
            Probabilities of the allowed classes that sum to 1, and what was removed (images,).
        """
        if self.allowed is None:
            return probabilities, np.zeros(len(probabilities))
        kept = probabilities * self.allowed
        left = kept.sum(axis=1)
        even = self.allowed / self.allowed.sum()
        shares = kept / np.maximum(left, 1e-300)[:, None]
        return np.where(left[:, None] > 1e-12, shares, even), np.clip(1 - left, 0, 1)

    def rank_columns(self, probabilities: Floats, risk: float) -> list[dict[str, Any]]:
        """Find the lowest rank that each image is sure at.

        Args:
            probabilities: calibrated, of the allowed classes as they were before the others were
                removed (images, classes).
            risk: largest share of errors.

        Returns:
            Columns of `RANK_SCHEMA` for each image; null where no rank is sure.
        """
        thresholds = (self.card.thresholds or {})[risk]
        levels = [level.taxon_of for level in self.levels]
        numbers, taxa, sure = lowest_sure(probabilities, levels, thresholds)
        columns = []
        for number, taxon, confidence in zip(
            numbers.tolist(), taxa.tolist(), sure.tolist(), strict=True
        ):
            if number == len(levels):
                columns.append(dict.fromkeys(RANK_SCHEMA))
                continue
            level = self.levels[number]
            values = (level.rank, level.taxa[taxon], confidence)
            columns.append(dict(zip(RANK_SCHEMA, values, strict=True)))
        return columns


def _learn_prior(run: Run, classes: list[str]) -> PlacePrior | None:
    """Count the labels of a run's images by place and month."""
    table = run.read_table(MANIFEST).filter(~pl.col("label_conflict"))
    sightings = read_sightings(trust_clocks(table))
    if sightings is None:
        return None
    number_of = {name: number for number, name in enumerate(classes)}
    labels = np.array([number_of.get(label, -1) for label in table["label"]], np.int64)
    known = labels >= 0
    groups = np.unique(leak_groups(table)[known], return_inverse=True)[1]
    return PlacePrior.learn(sightings[known], labels[known], groups, len(classes))


def _read_levels(run: Run, classes: list[str], card: FieldCard) -> tuple[Level, ...]:
    """The levels that a run has thresholds for."""
    taxonomy = read_run_taxonomy(run)
    if taxonomy is None or card.thresholds is None:
        return ()
    levels = [Level(card.levels[0], classes, np.arange(len(classes)))]
    if list(card.levels[1:]) != taxonomy.ranks:
        return ()
    for rank in taxonomy.ranks:
        taxa, taxon_of = taxonomy.taxa(classes, rank)
        levels.append(Level(rank, taxa, taxon_of))
    return tuple(levels)
