"""A classifier and a recipe -> AdamW and the learning rate over time.

AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101. Cosine and warm restarts: Loshchilov and Hutter
2017, arXiv:1608.03983. Rates that fall with depth: Howard and Ruder 2018, arXiv:1801.06146.
"""

import torch
from torch import nn

from bestiary.model.classifier import Classifier
from bestiary.recipe.options import OptimizerOptions


def build_optimizer(classifier: Classifier, options: OptimizerOptions) -> torch.optim.AdamW:
    """AdamW over the parameters that are trained, the head's learning rate `head_lr_mult` times
    its stage's.
    """
    head = {id(parameter) for parameter in classifier.head_layer.parameters()}
    depth = {
        id(p): n for n, stage in enumerate(reversed(classifier.stage_parameters())) for p in stage
    }
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in classifier.parameters():
        if not parameter.requires_grad:
            continue
        factor = options.layer_decay ** depth[id(parameter)]
        factor *= options.head_lr_mult if id(parameter) in head else 1.0
        # Biases and norms are vectors; decay would pull norms' scales to 0.
        decay = options.weight_decay if options.decay_norm_and_bias or parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {
                "params": parameters,
                "lr": options.lr * factor,
                "factor": factor,
                "weight_decay": decay,
            }
            for (factor, decay), parameters in groups.items()
        ],
        fused=True,
    )
