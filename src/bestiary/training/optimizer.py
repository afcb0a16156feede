"""Optimizer: the parameters of a classifier -> AdamW with layer-wise learning rates.

AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101. Learning rates that fall with depth: Howard and
Ruder 2018, arXiv:1801.06146. Does not know how the learning rate changes over time.
"""

import torch
from torch import nn

from bestiary.model.classifier import Classifier
from bestiary.recipe.optimization import OptimizerOptions


def build_optimizer(classifier: Classifier, options: OptimizerOptions) -> torch.optim.AdamW:
    """Build AdamW over the trainable parameters of a classifier.

    Args:
        classifier: frozen parameters have ``requires_grad=False`` already.
        options: peak learning rate, layer decay, head multiplier and weight decay.

    Returns:
        An optimizer with a parameter group for each pair of learning rate and weight decay. Each
        group has a ``factor``: its learning rate as a multiple of ``options.lr``.
    """
    head = {id(parameter) for parameter in classifier.head_layer.parameters()}
    depths = _depths(classifier)

    # Group the parameters by learning rate and weight decay.
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in classifier.parameters():
        if not parameter.requires_grad:
            continue
        factor = options.layer_decay ** depths[id(parameter)]
        if id(parameter) in head:
            factor *= options.head_lr_mult
        decay = _weight_decay(parameter, options)
        group = groups.setdefault((factor, decay), [])
        group.append(parameter)

    param_groups = [
        {
            "params": parameters,
            "lr": options.lr * factor,
            "factor": factor,
            "weight_decay": decay,
        }
        for (factor, decay), parameters in groups.items()
    ]
    return torch.optim.AdamW(param_groups, fused=True)


def _depths(classifier: Classifier) -> dict[int, int]:
    """Map the id of each parameter to the number of stages after its own."""
    depths: dict[int, int] = {}
    last_stage_first = reversed(classifier.stage_parameters())
    for depth, stage in enumerate(last_stage_first):
        for parameter in stage:
            depths[id(parameter)] = depth
    return depths


def _weight_decay(parameter: nn.Parameter, options: OptimizerOptions) -> float:
    # Biases and norms are vectors. Weight decay would pull the scales of norms to 0.
    is_vector = parameter.ndim <= 1
    if is_vector and not options.decay_norm_and_bias:
        return 0.0
    return options.weight_decay
