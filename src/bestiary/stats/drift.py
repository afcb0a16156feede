"""Two samples of vectors -> whether they come from one world: AUC, interval and p-value.

A classifier two-sample test (Lopez-Paz and Oquab 2017, arXiv:1610.06545): a ridge regression
learns to tell new images from the reference, and scores the images that it has not learned from.
Both samples are compared class by class, so other shares of the classes are no drift. The p-value
is that of a permutation test within classes. The predictions of a ridge regression are linear in
what it learns, so all permutations are fitted together. Knows nothing of networks, runs or
files.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit, logit
from scipy.stats import rankdata

from bestiary.rng import keyed_rng
from bestiary.stats.intervals import Z95, Interval
from bestiary.stats.vectors import class_sums

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]

ALPHA = 0.05  # share of false alarms
PERMUTATIONS = 499
PARTS = 5  # cross-fitting parts
RIDGE = 1.0  # added to the mean square of the features, whose spread is 1
MAX_IMAGES = 2_000  # of either sample; more are drawn from
MIN_IMAGES = 20  # comparable new images: with fewer, even a large drift stays unseen


@dataclass(frozen=True)
class Drift:
    """How two samples differ, class by class.

    Attributes:
        auc: how often a new image scores as newer than a reference image of its class, with its
            interval; 0.5: they cannot be told apart.
        p_value: share of permutations that part the samples as well.
        images: new images that were compared: their class has reference images too.
        reference: reference images that were compared.
        scores: of each new image (images given,), higher is less like the reference; nan where it
            was not compared.
        by_class: class number -> AUC, reference images, new images; of compared classes.
    """

    auc: Interval
    p_value: float
    images: int
    reference: int
    scores: Floats
    by_class: dict[int, tuple[float, int, int]]

    def document(self) -> dict[str, Any]:
        """Return what programs read, without what is of single images and classes."""
        return {
            "changed": self.changed,
            "can_tell": self.can_tell,
            "auc": self.auc,
            "p_value": self.p_value,
            "images": self.images,
            "reference": self.reference,
        }

    @property
    def can_tell(self) -> bool:
        """Whether there are enough images to see a change."""
        return self.images >= MIN_IMAGES

    @property
    def changed(self) -> bool:
        """Whether the test finds a change, at `ALPHA` of false alarms."""
        return self.can_tell and self.p_value <= ALPHA


def drift_test(
    reference: NDArray[np.floating],
    new: NDArray[np.floating],
    reference_classes: Labels,
    new_classes: Labels,
    seed: int = 0,
) -> Drift:
    """Test whether new images are of the same world as the reference, whatever their classes.

    Images of one group (near duplicates, a burst) are one piece of evidence: give one of them.

    Args:
        reference: vectors of the images that a run knows (reference, features): frozen features, or
            logits by members that were not trained on them.
        new: vectors of new images, made in the same way (new, features).
        reference_classes: predicted class of each reference image, by the same member
            (reference,). Not its label: new images have none, so they would differ.
        new_classes: predicted class of each new image (new,).
        seed: of the draws.

    Returns:
        The result of the test.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> old, same = rng.normal(size=(2, 200, 8))
        >>> classes = np.arange(200) % 4
        >>> drift_test(old, same, classes, classes).changed
        False
        >>> drift_test(old, same + 0.5, classes, classes).changed
        True
    """
    rows = _compared(reference_classes, new_classes, seed)
    vectors = np.concatenate([reference, new]).astype(np.float64)[rows]
    classes = np.concatenate([reference_classes, new_classes])[rows]
    is_new = rows >= len(reference)
    scores = np.full(len(new), np.nan)
    if not is_new.any():
        nothing = Interval(0.5, 0.0, 1.0)
        return Drift(nothing, 1.0, 0, 0, scores, {})

    _, codes = np.unique(classes, return_inverse=True)
    labels = _permuted(is_new, codes, seed)
    residuals = _standardized(vectors, codes)
    all_scores = _cross_fitted(residuals, _within_classes(labels, codes), codes, seed)
    aucs, weights = _class_aucs(all_scores, labels, codes)
    values = weights @ aucs

    scores[rows[is_new] - len(reference)] = all_scores[is_new, 0]
    names = classes[np.unique(codes, return_index=True)[1]]
    sizes = np.bincount(codes, minlength=len(names))
    news = np.bincount(codes, is_new, minlength=len(names)).astype(int)
    by_class = {
        int(name): (float(auc), int(size - n_new), int(n_new))
        for name, auc, size, n_new in zip(names, aucs[:, 0], sizes, news, strict=True)
    }
    return Drift(
        auc=_interval(values[0], all_scores[:, 0], is_new, codes, weights),
        p_value=float((values >= values[0] - 1e-12).mean()),
        images=int(is_new.sum()),
        reference=int((~is_new).sum()),
        scores=scores,
        by_class=by_class,
    )


def _compared(reference_classes: Labels, new_classes: Labels, seed: int) -> Labels:
    """Number the images whose class both samples have, the reference first; at most so many."""
    shared = np.intersect1d(reference_classes, new_classes)
    rows = []
    for number, classes in enumerate((reference_classes, new_classes)):
        own = np.flatnonzero(np.isin(classes, shared))
        if len(own) > MAX_IMAGES:
            own = np.sort(keyed_rng(seed, "drift sample", number).choice(own, MAX_IMAGES, False))
        rows.append(own + number * len(reference_classes))
    return np.concatenate(rows)


def _permuted(is_new: NDArray[np.bool_], codes: Labels, seed: int) -> Floats:
    """Permute which images are new within each class (images, 1 + permutations); first as it is."""
    keys = keyed_rng(seed, "drift permutations").random((len(codes), PERMUTATIONS))
    labels = np.empty((len(codes), 1 + PERMUTATIONS))
    labels[:, 0] = is_new
    for code in np.unique(codes):
        own = np.flatnonzero(codes == code)
        labels[own, 1:] = is_new[own][np.argsort(keys[own], axis=0)]
    return labels


def _within_classes(values: Floats, codes: Labels) -> Floats:
    """Subtract the mean of each class."""
    counts = np.bincount(codes)[:, None]
    means = class_sums(values, codes, len(counts)) / counts
    return np.asarray(values - means[codes])


def _standardized(vectors: Floats, codes: Labels) -> Floats:
    """Vectors without their class means, each feature of unit spread."""
    residuals = _within_classes(vectors, codes)
    residuals /= np.maximum(residuals.std(axis=0), 1e-12)
    return residuals


def _cross_fitted(vectors: Floats, labels: Floats, codes: Labels, seed: int) -> Floats:
    """Compute scores of images (images, columns) by what the other parts' labels have taught."""
    keys = keyed_rng(seed, "drift parts").random(len(codes))
    parts = np.empty(len(codes), np.int64)
    parts[np.lexsort((keys, codes))] = np.arange(len(codes)) % PARTS
    scores = np.zeros_like(labels)
    for part in range(PARTS):
        scored = np.flatnonzero(parts == part)
        fitted = np.flatnonzero(parts != part)
        if len(scored) and len(fitted):
            scores[scored] = vectors[scored] @ _ridge(vectors[fitted], labels[fitted])
    return scores


def _ridge(vectors: Floats, labels: Floats) -> Floats:
    """Fit a ridge regression to each column of labels; its weights are (features, columns).

    Of two equal solutions, it takes the one whose matrix is smaller. Logits have few features, and
    the inner products of thousands of images would take hundreds of megabytes.
    """
    n_images, n_features = vectors.shape
    penalty = RIDGE * n_features
    if n_features <= n_images:
        matrix = vectors.T @ vectors
        matrix.flat[:: n_features + 1] += penalty
        return np.asarray(np.linalg.solve(matrix, vectors.T @ labels))
    matrix = vectors @ vectors.T
    matrix.flat[:: n_images + 1] += penalty
    return np.asarray(vectors.T @ np.linalg.solve(matrix, labels))


def _class_aucs(scores: Floats, labels: Floats, codes: Labels) -> tuple[Floats, Floats]:
    """Compute the AUC of each class (classes, columns), and the weight of each class (classes,)."""
    aucs = []
    weights = []
    for code in np.unique(codes):
        own = codes == code
        n_new = labels[own, 0].sum()
        n_old = own.sum() - n_new
        ranks = rankdata(scores[own], axis=0)
        wins = (ranks * labels[own]).sum(axis=0) - n_new * (n_new + 1) / 2
        aucs.append(wins / (n_new * n_old))
        weights.append(n_new * n_old / (n_new + n_old))
    return np.array(aucs), np.array(weights) / np.sum(weights)


def _interval(
    value: float, scores: Floats, is_new: NDArray[np.bool_], codes: Labels, weights: Floats
) -> Interval:
    """Compute the interval of the AUC on the scale of its logit (DeLong et al. 1988).

    The spread of the placements is pooled over the classes, some of which have few images.
    """
    placements = np.empty(len(scores))
    variance_of = np.zeros(2)
    shares = np.zeros(2)
    for code, weight in zip(np.unique(codes), weights, strict=True):
        own = codes == code
        new = scores[own & is_new]
        old = scores[own & ~is_new]
        wins = (new[:, None] > old).astype(np.float64) + 0.5 * (new[:, None] == old)
        placements[own & is_new] = wins.mean(axis=1)
        placements[own & ~is_new] = wins.mean(axis=0)
        shares += weight**2 / np.array([len(old), len(new)])
    for column, side in enumerate((~is_new, is_new)):
        residuals = _within_classes(placements[side, None], codes[side])
        freedom = max(1, side.sum() - len(weights))
        variance_of[column] = (residuals**2).sum() / freedom
    error = np.sqrt((variance_of * shares).sum())
    inside = float(np.clip(value, 0.5 / len(scores), 1 - 0.5 / len(scores)))
    half = Z95 * error / (inside * (1 - inside))
    low, high = expit(logit(inside) + np.array([-half, half]))
    return Interval(float(value), min(float(low), float(value)), max(float(high), float(value)))
