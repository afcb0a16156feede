"""Predictions of new images -> the share of each class among them, corrected for confusion.

Counting labels is wrong twice: confusions do not cancel out, and a model expects the shares that it
was trained on. Where only the shares of the classes have changed, expectation maximization finds
the shares under which the new predictions are likeliest (Saerens, Latinne and Decaestecker 2002,
doi:10.1162/089976602753284446). The probabilities are calibrated with a bias for each class
(Alexandari, Kundaje and Shrikumar 2020, arXiv:1901.06852). A second estimate knows the confusion
matrix alone (adjusted counts: Lipton, Wang and Smola 2018, arXiv:1802.03916), as likelihood, so it
is never below 0. Pure functions of arrays.

Each member predicts the new images as it predicted those that it was not trained on: so the two
compare, and averages over members do not.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.rng import keyed_rng
from bestiary.stats.averaging import softmax
from bestiary.stats.intervals import Z95, wilson_interval

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

DRAWS = 200  # of the bootstrap; the spread of so many is known within 5 %
FEW_IMAGES = 3  # effective ones of a class, below which Wilson's lower end is too high
MAX_STEPS = 500
TOLERANCE = 1e-6  # largest change of a share in the last step
LARGEST_LOG_TEMPERATURE = 3.0  # temperatures of 1/20 to 20
LARGEST_BIAS = 20.0
BIAS_PRECISION = 1.0  # of the normal prior of each class's bias, so that rare classes have little


@dataclass(frozen=True, slots=True, eq=False)
class Known:
    """Images whose class is known, each with the logits of the member not trained on it.

    Attributes:
        logits: (images, classes).
        labels: class numbers (images,).
        groups: group number of each image (images,).
    """

    logits: NDArray[np.floating]
    labels: Integers
    groups: Integers


@dataclass(frozen=True, slots=True, eq=False)
class New:
    """Images whose class is asked for.

    Attributes:
        logits: of each member (members, images, classes).
        groups: group number of each image (images,).
    """

    logits: NDArray[np.floating]
    groups: Integers


@dataclass(frozen=True, slots=True, eq=False)
class ClassShares:
    """The share of each class among new images.

    Attributes:
        shares: (classes,), summing to 1.
        low: lower end of the 95 % interval of each (classes,), where the images are a sample of.
        high: upper end (classes,).
        spread: standard deviation of the error of each share among these very images (classes,).
        adjusted: shares by adjusted counts, from the confusion matrix alone (classes,).
        images: number of new images.
        groups: number of groups of these.
    """

    shares: Floats
    low: Floats
    high: Floats
    spread: Floats
    adjusted: Floats
    images: int
    groups: int

    @property
    def counts(self) -> Floats:
        """Images of each class among the new ones (classes,)."""
        return self.shares * self.images

    @property
    def count_intervals(self) -> tuple[Integers, Integers]:
        """Lower and upper ends of the 95 % intervals of `counts`, whole images (classes,)."""
        margin = Z95 * self.spread * self.images
        low = np.floor(np.maximum(0, self.counts - margin) + 1e-9)
        high = np.ceil(np.minimum(self.images, self.counts + margin) - 1e-9)
        return low.astype(np.int64), high.astype(np.int64)


def estimate_shares(known: Known, new: New, draws: int = DRAWS) -> ClassShares:
    """Estimate the shares of the classes among new images, and where these are a sample of.

    Both spreads come from a bootstrap over whole groups of known and of new images. The interval of
    a share, which is about the place and time that the images are drawn from, is Wilson's at the
    effective number of images. The spread among these very images is that of the estimate less the
    share of labels drawn by the images' probabilities, one draw for a group.

    Args:
        known: out-of-fold predictions.
        new: predictions of new images, at least one.
        draws: of the bootstrap.

    Returns:
        The shares with their intervals.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = rng.integers(0, 2, 400)
        >>> known = Known(3 * np.eye(2)[labels] + rng.normal(size=(400, 2)), labels, np.arange(400))
        >>> truth = np.repeat([0, 1], [90, 10])
        >>> logits = 3 * np.eye(2)[truth] + rng.normal(size=(5, 100, 2))
        >>> result = estimate_shares(known, New(logits, np.arange(100)), draws=20)
        >>> bool(result.low[1] <= 0.1 <= result.high[1])
        True
    """
    n_classes = known.logits.shape[1]
    ones = np.ones(len(known.labels))
    start = _fit_calibration(known, ones, np.zeros(n_classes + 1))
    weights = np.ones(len(new.groups))
    shares = _likeliest(known, new, start, ones, weights, np.full(n_classes, 1 / n_classes))

    # The spread of the shares over draws of whole groups
    rng = keyed_rng(0, "class shares")
    cumulated = _posterior(known, new, start, shares).cumsum(axis=1)
    drawn = np.empty((draws, n_classes))
    errors = np.empty((draws, n_classes))
    for draw in range(draws):
        known_weights = _draw_groups(known.groups, rng)
        calibration = _fit_calibration(known, known_weights, start)
        new_weights = _draw_groups(new.groups, rng)
        drawn[draw] = _likeliest(known, new, calibration, known_weights, new_weights, shares)
        labels = _draw_labels(cumulated, new.groups, rng)
        present = np.bincount(labels, new_weights, minlength=n_classes) / new_weights.sum()
        errors[draw] = drawn[draw] - present
    sizes = np.unique(new.groups, return_counts=True)[1]
    low, high = _intervals(shares, drawn.var(axis=0, ddof=1), independent_groups(sizes))
    return ClassShares(
        shares=shares,
        low=low,
        high=high,
        spread=errors.std(axis=0, ddof=1),
        adjusted=_adjusted_counts(known, new),
        images=len(new.groups),
        groups=len(sizes),
    )


def _draw_labels(cumulated: Floats, groups: Integers, rng: np.random.Generator) -> Integers:
    """Draw a class for each image by its cumulated probabilities, one number for a group."""
    _, codes = np.unique(groups, return_inverse=True)
    number = rng.random(int(codes.max()) + 1)[codes]
    labels = (cumulated < number[:, None]).sum(axis=1)
    return np.asarray(np.minimum(labels, cumulated.shape[1] - 1))  # rounding leads out of no class


def independent_groups(sizes: Integers) -> float:
    """Compute how many groups of one size are as much evidence as groups of these sizes (Kish).

    Args:
        sizes: images of each group (groups,).

    Returns:
        The number, at most that of the groups.

    Example:
        >>> independent_groups(np.array([1, 1, 1, 1])), independent_groups(np.array([1, 1, 6]))
        (4.0, 1.6842105263157894)
    """
    return float(sizes.sum() ** 2 / (sizes**2).sum())


def _draw_groups(groups: Integers, rng: np.random.Generator) -> Floats:
    """Draw as many groups as there are, with replacement; how often each image is drawn."""
    _, codes = np.unique(groups, return_inverse=True)
    n_groups = int(codes.max()) + 1
    return rng.multinomial(n_groups, np.full(n_groups, 1 / n_groups))[codes].astype(np.float64)


def _intervals(shares: Floats, variances: Floats, n_groups: float) -> tuple[Floats, Floats]:
    """Compute Wilson's interval of each share at its effective number of images.

    That is at most the number of groups: a class that no image shows has no spread. The lower end
    is Poisson's where a class has few images, since Wilson's is then too high (Brown, Cai and
    DasGupta 2001, doi:10.1214/ss/1009213286).
    """
    from scipy.stats import chi2  # here: it is slow to import, and only fitting needs it

    low = np.empty_like(shares)
    high = np.empty_like(shares)
    for number, (share, variance) in enumerate(zip(shares, variances, strict=True)):
        inside = min(max(float(share), 0.5 / n_groups), 1 - 0.5 / n_groups)
        size = min(n_groups, inside * (1 - inside) / max(float(variance), 1e-12))
        low[number], high[number] = wilson_interval(float(share), size)
        images = size * float(share)
        if 0 < images < FEW_IMAGES:
            low[number] = min(low[number], float(chi2.ppf(0.05, 2 * images)) / (2 * size))
    return low, high


def _fit_calibration(known: Known, weights: Floats, start: Floats) -> Floats:
    """Fit a temperature and a bias of each class by penalized likelihood.

    Returns:
        Logarithm of the temperature and the biases (1 + classes,).
    """
    from scipy.optimize import minimize  # here: it is slow to import, and only fitting needs it

    logits = known.logits.astype(np.float64)
    images = np.arange(len(known.labels))
    drawn = weights > 0
    logits, labels, used = logits[drawn], known.labels[drawn], weights[drawn]
    images = images[: len(labels)]

    def loss(parameters: Floats) -> tuple[float, Floats]:
        scaled = logits * np.exp(-parameters[0])
        probabilities = softmax(scaled + parameters[1:])
        chosen = np.maximum(probabilities[images, labels], 1e-300)
        residuals = probabilities
        residuals[images, labels] -= 1
        residuals *= used[:, None]
        bias = parameters[1:]
        gradient = np.append(
            -(residuals * scaled).sum(), residuals.sum(axis=0) + BIAS_PRECISION * bias
        )
        value = -(used * np.log(chosen)).sum() + BIAS_PRECISION * (bias**2).sum() / 2
        return float(value), gradient

    bounds = [(-LARGEST_LOG_TEMPERATURE, LARGEST_LOG_TEMPERATURE)]
    bounds += [(-LARGEST_BIAS, LARGEST_BIAS)] * logits.shape[1]
    options = {"maxiter": 100}
    fit = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
    return np.asarray(fit.x)


def _likeliest(
    known: Known,
    new: New,
    calibration: Floats,
    known_weights: Floats,
    new_weights: Floats,
    start: Floats,
) -> Floats:
    """Find the shares under which the members' predictions are likeliest."""
    likelihoods = _likelihoods(known, new, calibration, known_weights)
    weights = np.tile(new_weights, len(new.logits))
    return maximize_shares(likelihoods, weights, start)


def _likelihoods(known: Known, new: New, calibration: Floats, known_weights: Floats) -> Floats:
    """Likelihood of each member's prediction under each class (members x images, classes)."""
    logits = new.logits.astype(np.float64) * np.exp(-calibration[0]) + calibration[1:]
    probabilities = softmax(logits.reshape(-1, logits.shape[2]))
    counts = np.bincount(known.labels, known_weights, minlength=logits.shape[2])
    prior = np.maximum(counts, 0.5) / np.maximum(counts, 0.5).sum()
    return np.asarray(probabilities / prior)


def _posterior(known: Known, new: New, calibration: Floats, shares: Floats) -> Floats:
    """Probability of each class under the new shares, mean of the members (images, classes)."""
    joint = _likelihoods(known, new, calibration, np.ones(len(known.labels))) * shares
    joint /= joint.sum(axis=1, keepdims=True)
    return np.asarray(joint.reshape(new.logits.shape).mean(axis=0))


def maximize_shares(likelihoods: Floats, weights: Floats, start: Floats) -> Floats:
    """Find the shares of a mixture whose components are known, by expectation maximization.

    Args:
        likelihoods: of each observation under each class, up to a factor of the observation
            (observations, classes).
        weights: of the observations (observations,), 0 or more.
        start: shares to begin with (classes,), above 0 where the result may be.

    Returns:
        Shares (classes,), summing to 1.

    Example:
        >>> maximize_shares(np.eye(2)[[0, 0, 0, 1]], np.ones(4), np.array([0.5, 0.5])).tolist()
        [0.75, 0.25]
    """
    shares = np.maximum(start, 1e-6)
    shares /= shares.sum()
    used = weights > 0
    likelihoods, weights = likelihoods[used], weights[used]
    total = weights.sum()
    for _ in range(MAX_STEPS):
        joint = likelihoods @ shares
        updated = shares * (likelihoods.T @ (weights / np.maximum(joint, 1e-300))) / total
        change = np.abs(updated - shares).max()
        shares = updated
        if change < TOLERANCE:
            break
    return np.asarray(shares / shares.sum())


def _adjusted_counts(known: Known, new: New) -> Floats:
    """Estimate the shares from labels and the confusion matrix."""
    n_classes = known.logits.shape[1]
    confusion = np.full((n_classes, n_classes), 0.5 / n_classes)  # true classes, labels
    np.add.at(confusion, (known.labels, known.logits.argmax(axis=1)), 1)
    confusion /= confusion.sum(axis=1, keepdims=True)
    labels = np.bincount(new.logits.argmax(axis=2).ravel(), minlength=n_classes)
    return maximize_shares(
        confusion.T, labels.astype(np.float64), np.full(n_classes, 1 / n_classes)
    )
