"""Head: features and labels of a training part -> the last layer of a classifier.

The recipe says how: a linear discriminant, or the better of three heads. Does not know where the
features come from.
"""

import numpy as np
import torch
from numpy.typing import NDArray
from torch.nn import functional

from bestiary.model.classifier import Classifier
from bestiary.recipe.options import Recipe
from bestiary.run.heads import HeadChoice
from bestiary.training.head_choice import choose_head
from bestiary.training.lda_head import Layer, fit_lda


def fit_layer(
    recipe: Recipe,
    features: NDArray[np.float32],
    labels: NDArray[np.int64],
    parts: NDArray[np.int64],
    classes: int,
) -> tuple[Layer, HeadChoice | None]:
    """Fit the last layer that a recipe asks for.

    Args:
        recipe: its head and its logit adjustment are used.
        features: input of the last layer for each image's evaluation view, (images, features).
        labels: class numbers (images,).
        parts: part of each image, such as its fold, (images,); see `choose_head`.
        classes: number of classes.

    Returns:
        Weights and biases, all finite; and what was chosen, if there was a choice.
    """
    adjustment = recipe.loss.logit_adjustment
    tau_norm = recipe.model.head_tau_norm
    if recipe.model.head == "auto":
        return choose_head(features, labels, parts, classes, adjustment, tau_norm)
    return fit_lda(features, labels, classes, adjustment, tau_norm), None


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
