"""TODO model.freezing"""

from torch.nn.modules.batchnorm import _BatchNorm

from bestiary.errors import RecipeError
from bestiary.model.classifier import Classifier
from bestiary.recipe.options import ModelOptions


def freeze(classifier: Classifier, options: ModelOptions) -> None:
    """Keep the parameters of the first stages as they are."""
    stages = classifier.stage_parameters()
    if options.freeze >= len(stages):
        raise RecipeError(
            f"model.freeze = {options.freeze}: {options.backbone} has {len(stages)} stages, its "
            f"head in the last; "
            f"choose 0 to {len(stages) - 1}"
        )
    for stage in stages[: options.freeze]:
        for parameter in stage:
            parameter.requires_grad_(False)


def set_training_mode(classifier: Classifier, options: ModelOptions) -> None:
    """Training mode for all but what is frozen."""
    classifier.train()
    for stage in classifier.stages()[: options.freeze]:
        for part in stage:
            part.eval()
    if options.freeze_norms:
        for module in classifier.modules():
            if isinstance(module, _BatchNorm):
                module.eval()
