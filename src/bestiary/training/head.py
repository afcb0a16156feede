"""Head: features and labels of a training part -> the last layer of a classifier.

The recipe says how: a linear discriminant, or the better of three heads. Does not know where the
features come from.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.errors import DamagedError
from bestiary.model.classifier import Classifier
from bestiary.recipe.options import Recipe
from bestiary.run.heads import HeadChoice
from bestiary.run.layout import UNLABELED
from bestiary.training.head_choice import choose_head
from bestiary.training.lda_head import Layer, fit_lda, fit_logit_scale
from bestiary.training.self_training import self_train

Features = NDArray[np.float32]
Labels = NDArray[np.int64]


def fit_layer(
    recipe: Recipe,
    features: Features,
    labels: Labels,
    parts: Labels,
    classes: int,
    unlabeled: Features | None = None,
) -> tuple[Layer, HeadChoice | None]:
    """Fit the last layer that a recipe asks for.

    Args:
        recipe: its head and its logit adjustment are used.
        features: input of the last layer for each image's evaluation view, (images, features).
        labels: class numbers (images,).
        parts: part of each image, such as its fold, (images,); see `choose_head`.
        classes: number of classes.
        unlabeled: features of unlabeled images, (unlabeled, features); None: there are none.

    Returns:
        Weights and biases, all finite; and what was chosen, if there was a choice or unlabeled
        images. A head learns from these only if that lowers the log loss by cross-fitting.

    Raises:
        DamagedError: the unlabeled images have features of another network.
    """
    fitted = _fit(recipe, features, labels, parts, classes)
    if unlabeled is None:
        return fitted
    if unlabeled.shape[1] != features.shape[1]:
        raise DamagedError(f"{UNLABELED}: has features of another network; train into a new folder")
    layer, choice = fitted
    choice = choice or HeadChoice(kind="lda", images=len(labels))

    # Cross-fit with and without the unlabeled images: those of other kinds would do harm.
    logits = np.zeros((2, len(labels), classes))
    for part in np.unique(parts):
        is_val = parts == part
        rest = features[~is_val], labels[~is_val]
        start, _ = _fit(recipe, *rest, parts[~is_val], classes)
        learned = _self_train(recipe, start, *rest, unlabeled)
        for index, (weights, biases) in enumerate((start, learned)):
            logits[index, is_val] = features[is_val] @ weights.T + biases
    loss, _ = fit_logit_scale(logits[0], labels)
    learned_loss, scale = fit_logit_scale(logits[1], labels)
    if learned_loss >= loss:
        return layer, choice.model_copy(update={"refused": len(unlabeled)})
    weights, biases = _self_train(recipe, layer, features, labels, unlabeled)
    choice = choice.model_copy(update={"unlabeled": len(unlabeled)})
    return (scale * weights, scale * biases), choice


def _fit(
    recipe: Recipe, features: Features, labels: Labels, parts: Labels, classes: int
) -> tuple[Layer, HeadChoice | None]:
    """Fit the head to labeled images."""
    adjustment = recipe.loss.logit_adjustment
    tau_norm = recipe.model.head_tau_norm
    if recipe.model.head == "auto":
        return choose_head(features, labels, parts, classes, adjustment, tau_norm)
    return fit_lda(features, labels, classes, adjustment, tau_norm), None


def _self_train(
    recipe: Recipe, start: Layer, features: Features, labels: Labels, unlabeled: Features
) -> Layer:
    return self_train(
        start,
        features,
        labels,
        unlabeled,
        recipe.loss.logit_adjustment,
        recipe.model.head_tau_norm,
    )


def set_head(classifier: Classifier, layer: Layer) -> None:
    """Set the last layer of a classifier.

    Args:
        classifier: its head is changed in place.
        layer: weights and biases.
    """
    head = classifier.head_layer
    weights, biases = layer
    new_weight = torch.as_tensor(weights, dtype=head.weight.dtype)
    new_bias = torch.as_tensor(biases, dtype=head.bias.dtype)
    with torch.no_grad():
        head.weight.copy_(new_weight)
        head.bias.copy_(new_bias)


@torch.no_grad()
def head_logits(classifier: Classifier, features: NDArray[np.float32]) -> NDArray[np.float32]:
    """Apply the last layer of a classifier to features.

    Args:
        classifier: its head is moved to the CPU.
        features: input of the last layer, (images, features).

    Returns:
        Logits (images, classes).
    """
    head = classifier.head_layer.cpu()
    inputs = torch.from_numpy(features)
    logits = functional.linear(inputs, head.weight, head.bias)
    return logits.numpy()
