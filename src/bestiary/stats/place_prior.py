"""Places and months of labeled images -> how much likelier each class is somewhere, some time.

The prior of a place and month is a mean of the labels there, near by and in the months around, and
of all labels. What it adds to the logits is the log of its ratio to the share of the class in all
labels. Far from every labeled image this is nothing. Pure functions of arrays.
"""

from dataclasses import dataclass
from itertools import product
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.intervals import Z95, Interval, cluster_variance
from bestiary.stats.metrics import logit_log_losses

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

EARTH_KM = 6371.0
MONTHS = 12
MONTH_SPREAD = 1.0  # standard deviation in months
MAX_PLACES = 2_000  # different positions; more are rounded together


@dataclass(frozen=True, slots=True)
class Sightings:
    """When and where images were taken.

    Attributes:
        lat: degrees north (images,); nan: not known.
        lon: degrees east (images,); nan: not known.
        month: 1 to 12 (images,); 0: not known.
    """

    lat: Floats
    lon: Floats
    month: Labels

    def __getitem__(self, chosen: NDArray[np.generic]) -> Self:
        """Select images by flags or numbers."""
        return type(self)(self.lat[chosen], self.lon[chosen], self.month[chosen])

    @property
    def has_place(self) -> NDArray[np.bool_]:
        """Whether the position of each image is known (images,)."""
        return np.isfinite(self.lat) & np.isfinite(self.lon)


@dataclass(frozen=True, slots=True)
class PriorSettings:
    """How far a label counts, and how much.

    Attributes:
        kilometers: standard deviation of the distance at which labels count.
        smoothing: labels of the whole dataset that are added to those near by.
        strength: factor of the log ratio; 0 leaves the logits as they are.
    """

    kilometers: float
    smoothing: float
    strength: float


SETTINGS = [
    PriorSettings(*values)
    for values in product((2.0, 10.0, 50.0, 250.0), (1.0, 5.0, 25.0), (0.5, 1.0))
]


@dataclass(frozen=True, slots=True)
class PlacePrior:
    """Labels by place and month.

    Attributes:
        places: latitude and longitude (places, 2).
        counts: labels (places, months, classes); a group of images counts once.
        shares: share of each class in all labels (classes,).
    """

    places: Floats
    counts: Floats
    shares: Floats

    @classmethod
    def learn(cls, sightings: Sightings, labels: Labels, groups: Labels, classes: int) -> Self:
        """Count labels by place and month.

        Args:
            sightings: of the images.
            labels: class numbers (images,).
            groups: group number of each image (images,), such as its event.
            classes: number of classes.

        Returns:
            The prior.
        """
        weights = 1 / np.bincount(groups)[groups]
        shares = np.bincount(labels, weights, classes)
        known = sightings.has_place
        positions = _rounded(np.column_stack([sightings.lat, sightings.lon])[known])
        places, place = np.unique(positions, axis=0, return_inverse=True)
        counts = np.zeros((len(places), MONTHS, classes))
        month = sightings.month[known]
        has_month = month > 0
        cell = (place[has_month], month[has_month] - 1, labels[known][has_month])
        np.add.at(counts, cell, weights[known][has_month])
        for index in np.flatnonzero(~has_month):  # an image without a month counts in all of them
            counts[place[index], :, labels[known][index]] += weights[known][index] / MONTHS
        return cls(places, counts, shares / shares.sum())

    def log_ratio(self, sightings: Sightings, settings: PriorSettings) -> Floats:
        """Compute what place and month add to the logits of images.

        Args:
            sightings: of the images.
            settings: how labels count.

        Returns:
            (images, classes); 0 for images without a position, and for classes without a label.
        """
        added = np.zeros((len(sightings.lat), len(self.shares)))
        known = np.flatnonzero(sightings.has_place)
        if not len(known) or not len(self.places):
            return added
        keys = np.column_stack([sightings.lat, sightings.lon, sightings.month])[known]
        cells, cell_of = np.unique(keys, axis=0, return_inverse=True)
        near = np.exp(-((_distances(cells[:, :2], self.places) / settings.kilometers) ** 2) / 2)
        by_month = np.tensordot(near, self.counts, axes=1)  # (cells, months, classes)
        around = _month_weights()[cells[:, 2].astype(np.int64)]  # (cells, months)
        local = np.einsum("cmk,cm->ck", by_month, around)
        prior = local + settings.smoothing * self.shares
        prior /= prior.sum(axis=1, keepdims=True)
        has_label = self.shares > 0
        ratio = np.zeros_like(prior)
        ratio[:, has_label] = np.log(prior[:, has_label] / self.shares[has_label])
        added[known] = settings.strength * ratio[cell_of]
        return added


@dataclass(frozen=True, slots=True)
class PriorTrial:
    """What a prior gains out of fold.

    Attributes:
        settings: the best for all images.
        adjusted: logits of each image with the prior of the other parts, and with the settings that
            are best for these (images, classes).
        gain: mean log loss without the prior less that with it, with its 95 % interval.
    """

    settings: PriorSettings
    adjusted: Floats
    gain: Interval

    @property
    def is_used(self) -> bool:
        """Whether the prior surely gains."""
        return self.gain.low > 0


def try_prior(
    logits: Floats, labels: Labels, sightings: Sightings, parts: Labels, groups: Labels
) -> PriorTrial:
    """Measure what a prior of place and month gains, by cross-fitting.

    Each image's prior is learnt from the other parts. The settings of a part are those with the
    least log loss on the other parts.

    Args:
        logits: calibrated, of images that the network was not trained on (images, classes).
        labels: class numbers (images,).
        sightings: of the images.
        parts: part of each image (images,); two or more, in whole groups.
        groups: group number of each image (images,).

    Returns:
        The trial.
    """
    numbers = np.unique(parts)
    learned = {}
    for part in numbers:
        rest = parts != part
        codes = np.unique(groups[rest], return_inverse=True)[1]
        learned[part] = PlacePrior.learn(sightings[rest], labels[rest], codes, logits.shape[1])

    def adjust(settings: PriorSettings, chosen: NDArray[np.integer]) -> Floats:
        adjusted = logits.astype(np.float64)
        for part in chosen:
            is_val = parts == part
            adjusted[is_val] += learned[part].log_ratio(sightings[is_val], settings)
        return adjusted

    # The losses of all settings, then each part with those that are best for the others
    losses = np.stack(
        [logit_log_losses(adjust(settings, numbers), labels) for settings in SETTINGS]
    )
    adjusted = logits.astype(np.float64)
    for part in numbers:
        is_val = parts == part
        best = SETTINGS[int(losses[:, ~is_val].mean(axis=1).argmin())]
        adjusted[is_val] = adjust(best, numbers[numbers == part])[is_val]
    change = logit_log_losses(logits.astype(np.float64), labels) - logit_log_losses(
        adjusted, labels
    )
    return PriorTrial(
        SETTINGS[int(losses.mean(axis=1).argmin())], adjusted, _mean_interval(change, groups)
    )


def _mean_interval(values: Floats, groups: Labels) -> Interval:
    """A mean with its 95 % interval; groups count whole."""
    mean = float(values.mean())
    codes = np.unique(groups, return_inverse=True)[1]
    half = Z95 * float(np.sqrt(cluster_variance(values - mean, codes)))
    if codes.max() == 0:
        return Interval(mean, -np.inf, np.inf)
    return Interval(mean, mean - half, mean + half)


def _rounded(positions: Floats) -> Floats:
    """Round positions, so that there are at most `MAX_PLACES`."""
    for decimals in (4, 3, 2, 1):
        rounded = positions.round(decimals)
        if len(np.unique(rounded, axis=0)) <= MAX_PLACES:
            return rounded
    return positions.round(0)


def _distances(one: Floats, other: Floats) -> Floats:
    """Great-circle distances in kilometers (ones, others), by the haversine formula."""
    lat, lon = np.radians(one).T
    other_lat, other_lon = np.radians(other).T
    north = np.sin((lat[:, None] - other_lat) / 2) ** 2
    east = np.sin((lon[:, None] - other_lon) / 2) ** 2
    squared = north + np.cos(lat)[:, None] * np.cos(other_lat) * east
    return np.asarray(2 * EARTH_KM * np.arcsin(np.sqrt(np.clip(squared, 0, 1))))


def _month_weights() -> Floats:
    """Weight of each month for each month asked for (13, 12); row 0: the month is not known."""
    months = np.arange(MONTHS)
    apart = np.abs(months[:, None] - months)
    apart = np.minimum(apart, MONTHS - apart)
    weights = np.exp(-((apart / MONTH_SPREAD) ** 2) / 2)
    return np.vstack([np.ones(MONTHS), weights])
