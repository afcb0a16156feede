"""Choice of a head: features of a training part -> the better of three heads, by cross-fitting.

A linear discriminant, the nearest class mean and a multinomial logistic regression compete inside
the training part of a fold. Each image is judged by heads that were fitted without its part, and
the lowest log loss wins; what the fold holds out takes no part, so its score stays honest. The
discriminant is the rule, and another head has to be better by a standard error. With many images
that never happened (benchmarks/accuracy/tiny_data.py), so only few images are worth the fits. Does
not know where the features come from.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_softmax

from bestiary.recipe.choices import HeadKind
from bestiary.run.heads import HeadChoice
from bestiary.training.lda_head import (
    SHRINKAGES,
    TAUS,
    Layer,
    LdaParams,
    Moments,
    descend,
    finite,
    fit_lda,
    fit_logit_scale,
    lda_layer,
)
from bestiary.training.logistic_head import STRENGTHS, LogisticParams, logistic_layer
from bestiary.training.span import Span

# Most images of a training part for which a head is chosen; their fits take as long as tuning the
# discriminant alone does. With more, the discriminant is taken.
MAX_IMAGES = 400
# Parts of the training part, at most, that take turns to judge.
MAX_PARTS = 5

Floats = NDArray[np.float64]
Labels = NDArray[np.int64]
Params = LdaParams | LogisticParams


@dataclass(frozen=True, slots=True)
class _Fit:
    """A head's hyperparameters, and its losses on images that it was not fitted to."""

    params: Params
    log_loss: float
    losses: Floats
    accuracy: float


def choose_head(
    features: NDArray[np.float32],
    labels: Labels,
    parts: Labels,
    classes: int,
    adjustment: float = 0.0,
    head_tau_norm: bool = False,
) -> tuple[Layer, HeadChoice]:
    """Choose a head for a training part, and fit it to all of it.

    Args:
        features: input of the last layer for each image's evaluation view, (images, features).
        labels: class numbers (images,).
        parts: part of each image (images,), such as the folds of the run: images of one group are
            in one part.
        classes: number of classes.
        adjustment: strength of logit adjustment; from 1 on, all classes have equal priors.
        head_tau_norm: whether tau-normalization of the discriminant is tuned too.

    Returns:
        Weights and biases, all finite; and what was chosen.

    Example:
        >>> rng = np.random.default_rng(0)
        >>> labels = np.repeat(np.arange(3), 8)
        >>> features = (rng.normal(size=(24, 50)) + labels[:, None]).astype(np.float32)
        >>> (weights, biases), choice = choose_head(features, labels, np.arange(24) % 4, 3)
        >>> weights.shape, choice.kind
        ((3, 50), 'lda')
    """
    inner = _few_parts(parts)
    is_scored = _is_scored(labels, inner)
    is_constant = not np.ptp(features, axis=0).any()
    if len(labels) > MAX_IMAGES or not is_scored.any() or is_constant:
        layer = fit_lda(features, labels, classes, adjustment, head_tau_norm)
        return layer, HeadChoice(kind="lda", images=len(labels))

    # Cross-fit every kind in the span of the images.
    span = Span.of(features)
    judge = _Judge(span.coordinates, labels, inner, is_scored, classes, features.shape[1])
    fits: dict[HeadKind, _Fit] = {
        "lda": judge.best_lda(TAUS if head_tau_norm else TAUS[:1]),
        "nearest_mean": judge.best([LdaParams(1.0, tau) for tau in (0.0, 1.0)]),
        "logistic": judge.best([LogisticParams(strength) for strength in STRENGTHS]),
    }
    kind = _preferred(fits)

    # Fit the chosen one to all images.
    weights, biases = judge.layer(fits[kind].params, slice(None), min(1.0, adjustment))
    choice = HeadChoice(
        kind=kind,
        images=len(labels),
        log_loss={name: fit.log_loss for name, fit in fits.items()},
        accuracy={name: fit.accuracy for name, fit in fits.items()},
    )
    return span.layer(weights, finite(biases)), choice


def _few_parts(parts: Labels) -> Labels:
    """Number the parts from 0; beyond `MAX_PARTS`, several become one."""
    _, codes = np.unique(parts, return_inverse=True)
    return np.asarray(codes % MAX_PARTS)


def _is_scored(labels: Labels, parts: Labels) -> NDArray[np.bool_]:
    """Find the images whose class the other parts have too, among at least two classes.

    The others cannot be right, so they say nothing.
    """
    is_scored = np.zeros(len(labels), np.bool_)
    for part in np.unique(parts):
        fitted = np.unique(labels[parts != part])
        if len(fitted) > 1:
            is_scored |= (parts == part) & np.isin(labels, fitted)
    return is_scored


def _preferred(fits: dict[HeadKind, _Fit]) -> HeadKind:
    """Name the head with the lowest loss; one that is not the discriminant must beat it clearly."""
    reference = fits["lda"].losses

    def excess(name: HeadKind) -> float:
        difference = fits[name].losses - reference
        error = difference.std() / np.sqrt(len(difference))
        return float(difference.mean() + error) if name != "lda" else 0.0

    return min(fits, key=excess)


class _Judge:
    """Cross-fits heads on the coordinates of a training part."""

    def __init__(
        self,
        coordinates: Floats,
        labels: Labels,
        parts: Labels,
        is_scored: NDArray[np.bool_],
        classes: int,
        dimensions: int,
    ) -> None:
        self.coordinates = coordinates
        self.labels = labels
        self.parts = parts
        self.is_scored = is_scored
        self.classes = classes
        self.dimensions = dimensions
        self._moments: Callable[[int], Moments] = cache(self._moments_without)

    def best_lda(self, taus: tuple[float, ...]) -> _Fit:
        """Search the shrinkage; for each one, tau and the logit scale follow."""

        @cache
        def best_at(index: int) -> _Fit:
            return self.best([LdaParams(SHRINKAGES[index], tau) for tau in taus])

        return best_at(descend(lambda index: best_at(index).log_loss, len(SHRINKAGES)))

    def best(self, candidates: list[LdaParams] | list[LogisticParams]) -> _Fit:
        """Find the candidate with the lowest log loss, each at its best logit scale."""
        fits = [self._cross_fit(params) for params in candidates]
        return min(fits, key=lambda fit: fit.log_loss)

    def layer(self, params: Params, rows: NDArray[np.bool_] | slice, adjustment: float) -> Layer:
        """Fit one head to some images of the training part."""
        fitted = self.coordinates[rows], self.labels[rows], self.classes
        if isinstance(params, LogisticParams):
            return logistic_layer(*fitted, params, adjustment)
        return lda_layer(Moments.of(*fitted, self.dimensions), params, adjustment)

    def _cross_fit(self, params: Params) -> _Fit:
        """Judge each part by the head of the other parts."""
        logits = np.empty((len(self.labels), self.classes))
        for part in np.unique(self.parts[self.is_scored]):
            is_val = self.parts == part
            if isinstance(params, LdaParams):
                weights, biases = lda_layer(self._moments(int(part)), params)
            else:
                weights, biases = self.layer(params, ~is_val, 0.0)
            logits[is_val] = _without_infinity(self.coordinates[is_val] @ weights.T + biases)
        scored = logits[self.is_scored]
        labels = self.labels[self.is_scored]
        loss, scale = fit_logit_scale(scored, labels)
        log_p = log_softmax(scored * scale, axis=1)
        losses = -log_p[np.arange(len(labels)), labels]
        accuracy = float((scored.argmax(axis=1) == labels).mean())
        return _Fit(replace(params, logit_scale=scale), loss, losses, accuracy)

    def _moments_without(self, part: int) -> Moments:
        is_fitted = self.parts != part
        return Moments.of(
            self.coordinates[is_fitted], self.labels[is_fitted], self.classes, self.dimensions
        )


def _without_infinity(logits: Floats) -> Floats:
    """Give classes that a head does not know the lowest logit of the image."""
    is_known = np.isfinite(logits)
    lowest = np.where(is_known, logits, np.inf).min(axis=1, keepdims=True)
    return np.where(is_known, logits, lowest)
