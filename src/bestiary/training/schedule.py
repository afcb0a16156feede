"""TODO training.schedule"""

import math

import torch

from bestiary.recipe.options import ScheduleOptions


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Give every group `rate` times its factor."""
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def schedule_factor(
    options: ScheduleOptions, epoch: int, step: int, steps: int, epochs: int
) -> float:
    """The learning rate's share of its height, 0 to 1.

    Args:
        options: the kind of schedule.
        epoch: epochs done.
        step: steps done in this epoch.
        steps: steps in an epoch.
        epochs: epochs in all.
    """
    if options.kind == "warm_restarts":  # stepped once an epoch, as the described system does
        since, length = epoch, options.first_cycle
        while since >= length:
            since, length = since - length, length * options.cycle_mult
        return 0.5 * (1 + math.cos(math.pi * since / length))
    done = (epoch * steps + step) / (epochs * steps)
    if done < options.warmup:
        return (epoch * steps + step + 1) / (options.warmup * epochs * steps + 1)
    return 0.5 * (1 + math.cos(math.pi * (done - options.warmup) / (1 - options.warmup)))
