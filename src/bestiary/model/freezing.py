"""Freeze the first stages of a network, and keep frozen stages and batch norms in eval mode.

Knows nothing of images or of the training loop.
"""

from torch.nn.modules.batchnorm import _BatchNorm

from bestiary.errors import RecipeError
from bestiary.model.classifier import Classifier
from bestiary.recipe.sections import ModelOptions


def freeze(classifier: Classifier, options: ModelOptions) -> None:
    """Freeze the parameters of the first stages.

    Args:
        classifier: whose parameters stop requiring gradients.
        options: `freeze` is the number of stages, the stem first.

    Raises:
        RecipeError: the network has too few stages.
    """
    stages = classifier.stage_parameters()
    if options.freeze >= len(stages):
        raise RecipeError(
            f"model.freeze = {options.freeze}: {options.backbone} has {len(stages)} stages, its "
            f"head in the last; choose 0 to {len(stages) - 1}"
        )
    for stage in stages[: options.freeze]:
        for parameter in stage:
            parameter.requires_grad_(False)


def set_training_mode(classifier: Classifier, options: ModelOptions) -> None:
    """Switch to training mode, except for what is frozen.

    Args:
        classifier: to train.
        options: `freeze` stages stay in eval mode, and with `freeze_norms` or `lora`
            all batch norms.
    """
    classifier.train()
    for stage in classifier.stages()[: options.freeze]:
        for module in stage:
            module.eval()
    if options.freeze_norms or options.lora:
        for module in classifier.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
