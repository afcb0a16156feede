"""A classifier and a ComputeConfig -> the network of a training step, with its shortcuts on a CPU.

Does not know which shortcuts pay off (`bestiary.training.autotune`), or how they compute.
"""

from torch import nn

from bestiary.model.classifier import Classifier
from bestiary.model.compute import ComputeConfig
from bestiary.model.depthwise import with_fast_depthwise
from bestiary.model.folded_norms import folded
from bestiary.model.freezing import set_training_mode
from bestiary.recipe.options import Recipe


def with_shortcuts(classifier: Classifier, recipe: Recipe, config: ComputeConfig) -> nn.Module:
    """Wrap a classifier in the shortcuts of a ComputeConfig.

    Args:
        classifier: to train; it is set to the mode of training.
        recipe: of the training.
        config: says which shortcuts are taken.

    Returns:
        A network that shares the classifier's parameters; the classifier itself without shortcuts.
    """
    network: nn.Module = classifier
    if config.folded_norms:
        set_training_mode(classifier, recipe.model)
        network = folded(classifier, recipe.view.size)
    return with_fast_depthwise(network) if config.fast_depthwise else network
