"""Learning-rate schedules: progress of training -> the learning rate of each parameter group.

The learning rate of a step is the peak learning rate times the schedule's factor. There are two
schedules. One is a single cosine with linear warm-up, stepped every batch. The other
is a cosine with warm restarts (SGDR), stepped every epoch. Both are from Loshchilov and Hutter
2017, arXiv:1608.03983. Knows nothing of networks, losses or gradients.
"""

import math

import torch

from bestiary.recipe.optimization import ScheduleOptions


def schedule_factor(
    options: ScheduleOptions,
    epoch: int,
    step: int,
    steps: int,
    epochs: int,
) -> float:
    """Compute the learning rate at one step of the schedule, as a share of the peak.

    Args:
        options: kind of schedule, its warm-up and its cycles.
        epoch: epochs done.
        step: steps done in this epoch.
        steps: steps in an epoch.
        epochs: epochs in all.

    Returns:
        A factor of the peak learning rate, 0 to 1.
    """
    if options.kind == "warm_restarts":
        return _warm_restarts_schedule(options, epoch)
    steps_done = epoch * steps + step
    return _cosine_schedule(options, steps_done, epochs, steps)


def set_learning_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate of every parameter group.

    Args:
        optimizer: each of its groups has a ``factor``, see `bestiary.training.optimizer`.
        rate: learning rate of a group whose factor is 1.
    """
    for group in optimizer.param_groups:
        group["lr"] = rate * group["factor"]


def _warm_restarts_schedule(options: ScheduleOptions, epoch: int) -> float:
    """Follow the schedule of PyTorch's CosineAnnealingWarmRestarts, stepped once an epoch."""
    epochs_in_cycle = epoch
    cycle_length = options.first_cycle
    while epochs_in_cycle >= cycle_length:
        epochs_in_cycle -= cycle_length
        cycle_length *= options.cycle_mult
    angle = math.pi * epochs_in_cycle / cycle_length
    return 0.5 * (1 + math.cos(angle))


def _cosine_schedule(options: ScheduleOptions, steps_done: int, epochs: int, steps: int) -> float:
    """Rise linearly in the schedule's warm-up, then fall along half a cosine."""
    done = steps_done / (epochs * steps)
    if done < options.warmup:
        warmup_steps = options.warmup * epochs * steps
        return (steps_done + 1) / (warmup_steps + 1)
    angle = math.pi * (done - options.warmup) / (1 - options.warmup)
    return 0.5 * (1 + math.cos(angle))
