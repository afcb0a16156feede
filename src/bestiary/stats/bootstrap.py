"""Probabilities, labels and groups -> every score with a 95 % interval, by cluster bootstrap.

Resampling draws whole groups: copies of one image, or frames of one burst. So copies do not make
an interval narrow (cluster bootstrap: Davison and Hinkley 1997, section 3.8). One matrix product
computes all replicates at once. Knows nothing of runs or networks.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bestiary.rng import keyed_rng
from bestiary.stats import metrics
from bestiary.stats.intervals import Z95, Interval, wilson_interval

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Weights = NDArray[np.float32]

REPLICATES = 1000
PRIOR_GROUPS = 5  # groups with a miss that weigh as much as the assumption of uniform groups
SHARE_SCORES = ("top1", "top5", "balanced_accuracy", "macro_f1")  # 0 to 1: the interval of a share
MEAN_SCORES = ("log_loss", "brier")  # above 0 and skewed: the interval of a logarithm


@dataclass(frozen=True, slots=True)
class _Sample:
    """A prediction in order of rising confidence, which ECE needs.

    Attributes:
        probabilities: (images, classes).
        labels: class numbers (images,).
        groups: group numbers (images,), 0 to groups - 1.
        weights: how often each group is drawn (1 + replicates, groups); the first row, all ones, is
            the sample itself.
        kish: number of independent images if the images of a group are all alike (Kish 1965).
    """

    probabilities: Floats
    labels: Labels
    groups: Labels
    weights: Weights
    kish: float


def score_intervals(
    probabilities: Floats,
    labels: Labels,
    groups: Labels,
    *,
    seed: int = 0,
    replicates: int = REPLICATES,
) -> dict[str, Interval]:
    """Compute every score of a prediction with its interval.

    Args:
        probabilities: (images, classes), at least one image.
        labels: class numbers (images,).
        groups: group number of each image (images,).
        seed: seed of the draws.
        replicates: number of replicates.

    Returns:
        top1, top5, balanced_accuracy, macro_f1, log_loss, brier, ece.
    """
    sample = _draw_sample(probabilities, labels, groups, seed, replicates)
    scores = _mean_scores(sample) | _class_scores(sample)

    intervals: dict[str, Interval] = {}
    for name in SHARE_SCORES:
        k = 5 if name == "top5" else 1
        n_rarer = _rarer_groups(sample, k)
        intervals[name] = _share_interval(scores[name], sample.kish, n_rarer)
    for name in MEAN_SCORES:
        intervals[name] = _mean_interval(scores[name])
    intervals["ece"] = _ece_interval(sample)
    return intervals


def _draw_sample(
    probabilities: Floats,
    labels: Labels,
    groups: Labels,
    seed: int,
    replicates: int,
) -> _Sample:
    confidence = probabilities.max(axis=1)
    order = np.argsort(confidence, kind="stable")
    _, codes = np.unique(groups[order], return_inverse=True)
    sizes = np.bincount(codes)
    sum_of_squares = float((sizes**2).sum())
    return _Sample(
        probabilities=probabilities[order],
        labels=labels[order],
        groups=codes,
        weights=_draw_weights(len(sizes), seed, replicates),
        kish=len(labels) ** 2 / sum_of_squares,
    )


def _draw_weights(n_groups: int, seed: int, replicates: int) -> Weights:
    """Draw how often each replicate contains each group (1 + replicates, groups)."""
    rng = keyed_rng(seed, "bootstrap", replicates)
    draws = rng.integers(n_groups, size=(replicates, n_groups))

    # Count the draws of each replicate and group, each pair a cell of one flat count
    offsets = np.arange(replicates)[:, None] * n_groups
    cells = (draws + offsets).ravel()
    counts = np.bincount(cells, minlength=replicates * n_groups)
    counts = counts.reshape(replicates, n_groups)

    sample_itself = np.ones(n_groups)
    weights = np.vstack([sample_itself, counts])
    return weights.astype(np.float32)


def _mean_scores(sample: _Sample) -> dict[str, Floats]:
    """Compute the scores that are means over images, each (1 + replicates,)."""
    probabilities = sample.probabilities
    labels = sample.labels
    columns = {
        "top1": metrics.top_k_hits(probabilities, labels, 1),
        "top5": metrics.top_k_hits(probabilities, labels, 5),
        "log_loss": metrics.log_losses(probabilities, labels),
        "brier": metrics.brier_scores(probabilities, labels),
    }

    # Sum over each group: its images first, then its scores
    ones = np.ones(len(labels))
    group_sums = [np.bincount(sample.groups, ones)]
    for column in columns.values():
        group_sums.append(np.bincount(sample.groups, column))

    weights = sample.weights.astype(np.float64)
    sums = weights @ np.stack(group_sums, axis=1)
    n_images = sums[:, 0]
    return {name: sums[:, index] / n_images for index, name in enumerate(columns, 1)}


def _class_scores(sample: _Sample) -> dict[str, Floats]:
    """Compute the scores that are means over classes, each (1 + replicates,)."""
    labels = sample.labels
    predicted = sample.probabilities.argmax(axis=1)
    is_hit = predicted == labels
    is_image = np.ones(len(labels), np.bool_)

    hits = _class_counts(sample, is_hit, labels)
    support = _class_counts(sample, is_image, labels)
    n_predicted = _class_counts(sample, is_image, predicted)
    return {
        "balanced_accuracy": metrics.balanced_accuracy(hits, support),
        "macro_f1": metrics.macro_f1(hits, support, n_predicted),
    }


def _class_counts(
    sample: _Sample,
    is_counted: NDArray[np.bool_],
    classes: Labels,
) -> Floats:
    """Count the images of each class in each replicate (1 + replicates, classes)."""
    n_classes = sample.probabilities.shape[1]
    n_groups = sample.weights.shape[1]

    # Count the images of each group and class, each pair a cell of one flat count
    cells = sample.groups[is_counted] * n_classes + classes[is_counted]
    counts = np.bincount(cells, minlength=n_groups * n_classes)
    counts = counts.reshape(n_groups, n_classes)

    weighted = sample.weights @ counts.astype(np.float32)
    return np.asarray(weighted, np.float64)


def _rarer_groups(sample: _Sample, k: int) -> int:
    """Count the groups with a miss, or with a hit if these are fewer.

    So many groups are the evidence for the spread of a share.
    """
    is_hit = metrics.top_k_hits(sample.probabilities, sample.labels, k)
    is_miss = ~is_hit
    groups_with_hit = np.unique(sample.groups[is_hit])
    groups_with_miss = np.unique(sample.groups[is_miss])
    return min(len(groups_with_hit), len(groups_with_miss))


def _share_interval(scores: Floats, kish: float, n_rarer: int) -> Interval:
    """Compute the interval of a share at the number of images that the replicates' spread implies.

    If few groups contain a miss, the variance of the replicates is uncertain. Then it weighs less,
    and the variance of `kish` independent images weighs more.
    """
    value = float(scores[0])
    effective = kish
    if 0 < value < 1:
        weight = n_rarer / (n_rarer + PRIOR_GROUPS)
        bootstrap_variance = float(scores[1:].var())
        prior_part = (1 - weight) * value * (1 - value) / kish
        variance = weight * bootstrap_variance + prior_part
        effective = value * (1 - value) / variance
    low, high = wilson_interval(value, effective)
    return Interval(value, low, high)


def _mean_interval(scores: Floats) -> Interval:
    """Compute the normal interval of the score's logarithm: above 0, and skewed like the scores."""
    value = float(scores[0])
    if value <= 0:
        return Interval(value, value, value)
    replicates = np.maximum(scores[1:], metrics.MIN_PROBABILITY)
    standard_error = float(np.log(replicates).std())
    low = value * np.exp(-Z95 * standard_error)
    high = value * np.exp(Z95 * standard_error)
    return Interval(value, low, high)


def _ece_interval(sample: _Sample) -> Interval:
    """Compute the interval of ECE.

    If the bins' gaps are no larger than chance makes them in a calibrated network (chi-squared test
    at 5 %), the interval begins at 0. It always holds the value: of few images, ECE is mostly
    chance, and an interval of what is left without it may end below.
    """
    confidence = sample.probabilities.max(axis=1)
    hits = metrics.top_k_hits(sample.probabilities, sample.labels, 1)
    value = metrics.reliability(confidence, hits).ece

    n_bins = min(metrics.BINS, len(sample.labels))
    gaps, image_bins = _bin_gaps(sample, confidence, hits, n_bins)
    low, high = _ece_limits(gaps[1:], value)

    # A bin without a miss has no variance among replicates, but would have some if it were
    # calibrated.
    bootstrap_variance = gaps[1:].var(axis=0)
    calibrated_variance = _calibrated_variance(sample, confidence, image_bins, n_bins)
    variance = np.maximum(bootstrap_variance, calibrated_variance)
    if _gaps_are_chance(gaps[0], variance):
        low = 0.0
    return Interval(value, min(low, value), max(high, value))


def _ece_limits(gaps: Floats, value: float) -> tuple[float, float]:
    """Compute both ends of the interval from the replicates' gaps (replicates, bins).

    A finite sample makes ECE too large. A replicate is a sample of a sample, so it adds about the
    same again. The replicates are shifted down by twice their mean excess over the value.
    """
    scores = np.abs(gaps).sum(axis=1)
    excess = scores.mean() - value
    shifted = np.clip(scores - 2 * excess, 0, 1)
    low, high = np.quantile(shifted, (0.025, 0.975))
    return float(low), float(high)


def _calibrated_variance(
    sample: _Sample,
    confidence: Floats,
    image_bins: Labels,
    n_bins: int,
) -> Floats:
    """Compute the variance that each bin's gap has in a calibrated network (bins,)."""
    bernoulli = confidence * (1 - confidence)
    sums = np.bincount(image_bins, bernoulli, n_bins)
    return np.asarray(sums / (len(sample.labels) * sample.kish))


def _gaps_are_chance(gaps: Floats, variance: Floats) -> bool:
    """Test whether the bins' gaps fit a calibrated network (chi-squared test at 5 %)."""
    varies = variance > 0
    squared_z_scores = gaps[varies] ** 2 / variance[varies]
    statistic = float(squared_z_scores.sum())
    degrees_of_freedom = int(varies.sum())
    return bool(statistic < chi2.ppf(0.95, degrees_of_freedom))


def _bin_gaps(
    sample: _Sample,
    confidence: Floats,
    hits: NDArray[np.bool_],
    n_bins: int,
) -> tuple[Floats, Labels]:
    """Compute each bin's gap of confidence and accuracy, weighted by its share of the images.

    Returns:
        Gaps (1 + replicates, bins), and the bin of each image in the sample itself (images,).
    """
    weights = np.take(sample.weights, sample.groups, axis=1)  # (1 + replicates, images)
    n_rows = len(weights)

    # Bins of equal weight in each replicate; images are in order of confidence
    cumulative = weights.cumsum(axis=1, dtype=np.float64)
    totals = cumulative[:, -1:]
    quantiles = (cumulative - weights / 2) / totals
    image_bins = (quantiles * n_bins).astype(np.int64)
    image_bins = image_bins.clip(0, n_bins - 1)

    # Sum the differences of each replicate and bin, each pair a cell of one flat count
    offsets = np.arange(n_rows)[:, None] * n_bins
    cells = (offsets + image_bins).ravel()
    differences = weights * (confidence - hits)
    sums = np.bincount(cells, differences.ravel(), n_rows * n_bins)
    gaps = sums.reshape(n_rows, n_bins) / totals
    return gaps, image_bins[0]
