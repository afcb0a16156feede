"""Image sizes: a backbone's name -> the sizes that it takes, and the one that it was trained with.

Computes shapes only, and takes no memory for weights. Knows nothing of images.
"""

from collections.abc import Iterable, Iterator

import torch

from bestiary.errors import one_line
from bestiary.model.backbone import build_backbone
from bestiary.model.classifier import build_classifier
from bestiary.recipe.options import Recipe

# What the libraries raise for an image size that a network cannot take.
_SIZE_ERRORS = (RuntimeError, AssertionError, ValueError, TypeError)


def with_own_size(recipe: Recipe) -> Recipe:
    """Fill in the size that the backbone's weights were trained with, where the recipe has none.

    Args:
        recipe: with `view.size` 0 where it does not say.

    Raises:
        WeightsError: the backbone is unknown.

    Example:
        >>> from bestiary.recipe.load import load_recipe
        >>> options = ["view.size=0", "model.backbone=timm/test_vit"]
        >>> with_own_size(load_recipe("probe", options)).view.size
        160
    """
    if recipe.view.size:
        return recipe
    with torch.device("meta"):
        side = build_backbone(recipe.model.backbone, 2, "none").side
    return recipe.with_values({"view.size": side})


def input_size_errors(name: str, sides: Iterable[int]) -> Iterator[str | None]:
    """Check which image sizes a backbone takes. Computes shapes only, and takes no memory.

    Args:
        name: of the backbone, see `build_backbone`.
        sides: of square images in pixels.

    Yields:
        For each side, why the backbone cannot take it, or None where it can.

    Raises:
        WeightsError: the name is unknown.
    """
    with torch.device("meta"):
        classifier = build_classifier(name, 2, "none").eval()
    for side in sides:
        try:
            with torch.no_grad():
                classifier(torch.zeros(1, 3, side, side, device="meta"))
        except NotImplementedError:  # an operation without shape inference
            yield None
        except _SIZE_ERRORS as error:
            yield one_line(error, 100)
        else:
            yield None
