"""Logistic head: features and labels -> a linear classification head by logistic regression.

Multinomial, with a penalty on the squares of the weights, as scikit-learn fits it. Features are
brought to a mean square length of 1 first, so that one penalty suits every network. Does not know
where the features come from.
"""

import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.training.lda_head import Layer

# Inverse penalties to choose from.
STRENGTHS = (10.0, 100.0)
MAX_ITERATIONS = 100


@dataclass(frozen=True, slots=True)
class LogisticParams:
    """Hyperparameters of a logistic head.

    Attributes:
        strength: inverse of the penalty, for features of mean square length 1.
        logit_scale: factor of the logits, an inverse temperature.
    """

    strength: float
    logit_scale: float = 1.0


def logistic_layer(
    features: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: int,
    params: LogisticParams,
    adjustment: float = 0.0,
) -> Layer:
    """Fit a multinomial logistic regression.

    Args:
        features: (images, features), of at least two classes; their mean should be near 0.
        labels: class numbers (images,).
        classes: number of classes.
        params: penalty and logit scale.
        adjustment: share of the log class frequencies that is taken off the biases, 0 to 1; see
            `bestiary.training.loss`.

    Returns:
        Weights and biases. A class without images gets the bias minus infinity.
    """
    # scikit-learn takes a second to import, and only small datasets need it here.
    from sklearn.linear_model import LogisticRegression

    length = float(np.sqrt(np.square(features).sum(axis=1).mean())) or 1.0
    model = LogisticRegression(C=params.strength, max_iter=MAX_ITERATIONS, tol=1e-3)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # few iterations leave hardly any loss
        model.fit(features / length, labels)

    # Two classes have one row of weights, for their difference.
    fitted_weights, fitted_biases = model.coef_ / length, model.intercept_
    if len(model.classes_) == 2:
        fitted_weights = np.concatenate([-fitted_weights, fitted_weights]) / 2
        fitted_biases = np.concatenate([-fitted_biases, fitted_biases]) / 2
    counts = np.bincount(labels, minlength=classes)[model.classes_]
    fitted_biases = fitted_biases - adjustment * np.log(counts / counts.sum())

    weights = np.zeros((classes, features.shape[1]))
    biases = np.full(classes, -np.inf)
    weights[model.classes_] = params.logit_scale * fitted_weights
    biases[model.classes_] = params.logit_scale * fitted_biases
    return weights, biases
