"""A classifier and a recipe -> AdamW and the learning rate over time.

AdamW: Loshchilov and Hutter 2019, arXiv:1711.05101. Cosine and warm restarts: Loshchilov and Hutter 2017,
arXiv:1608.03983. Rates that fall with depth: Howard and Ruder 2018, arXiv:1801.06146.
"""

import math

import torch
from torch import nn

from bestiary.model import Classifier
from bestiary.recipe import OptimiserOptions, ScheduleOptions


def build_optimiser(classifier: Classifier, options: OptimiserOptions) -> torch.optim.AdamW:
    """AdamW over the parameters that are trained, the head's learning rate `head_factor` times its stage's."""
    head = {id(parameter) for parameter in classifier.head_layer.parameters()}
    depth = {id(p): n for n, stage in enumerate(reversed(classifier.stage_parameters())) for p in stage}
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for parameter in classifier.parameters():
        if not parameter.requires_grad:
            continue
        factor = options.layer_decay ** depth[id(parameter)]
        factor *= options.head_factor if id(parameter) in head else 1.0
        # Biases and norms are vectors; decay would pull norms' scales to 0.
        decay = options.weight_decay if options.decay_all or parameter.ndim > 1 else 0.0
        groups.setdefault((factor, decay), []).append(parameter)
    return torch.optim.AdamW(
        [
            {"params": parameters, "lr": options.lr * factor, "factor": factor, "weight_decay": decay}
            for (factor, decay), parameters in groups.items()
        ],
        fused=True,
    )


def set_learning_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its factor."""
    for group in optimiser.param_groups:
        group["lr"] = rate * group["factor"]


def rate_at(options: ScheduleOptions, epoch: int, step: int, steps: int, epochs: int) -> float:
    """The learning rate's share of its height, 0 to 1.

    Args:
        options: the kind of schedule.
        epoch: epochs done.
        step: steps done in this epoch.
        steps: steps in an epoch.
        epochs: epochs in all.
    """
    if options.kind == "warm_restarts":  # stepped once an epoch, as the described system does
        since, length = epoch, options.t_0
        while since >= length:
            since, length = since - length, length * options.t_mult
        return 0.5 * (1 + math.cos(math.pi * since / length))
    done = (epoch * steps + step) / (epochs * steps)
    if done < options.warmup:
        return (epoch * steps + step + 1) / (options.warmup * epochs * steps + 1)
    return 0.5 * (1 + math.cos(math.pi * (done - options.warmup) / (1 - options.warmup)))
