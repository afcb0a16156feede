"""Step timing: a recipe and a ComputeConfig -> seconds of a training step on this device.

The steps are those of the training loop, on random images and random weights. Does not know which
configurations are worth timing.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from accelerate.utils.memory import clear_device_cache
from torch.nn import functional

from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.compiled import CompiledNetwork
from bestiary.model.compute import DTYPES, ComputeConfig, cudnn_options, synchronize
from bestiary.model.freezing import freeze, set_training_mode
from bestiary.model.graphed import GraphedNetwork
from bestiary.model.halving import is_out_of_memory
from bestiary.model.lora import add_lora
from bestiary.recipe.options import Recipe
from bestiary.training.loss import build_loss
from bestiary.training.malloc import keep_freed_memory
from bestiary.training.optimizer import build_optimizer
from bestiary.training.out_of_memory import can_halve
from bestiary.training.shortcuts import with_shortcuts

TIMED_STEPS = 3  # after the first step; the fastest counts
MAX_CPU_BATCH = 16  # a CPU is as fast an image with a few images as with many; a GPU is not


@dataclass(frozen=True, slots=True)
class StepTiming:
    """Duration of training steps with one ComputeConfig.

    Attributes:
        seconds: per image and training step.
        starting: seconds of the first step, compilation included.
    """

    seconds: float
    starting: float


def time_training_step(
    recipe: Recipe,
    classes: int,
    config: ComputeConfig,
    device: torch.device,
) -> StepTiming | None:
    """Time a few training steps.

    Args:
        recipe: of the training.
        classes: number of outputs.
        config: precision, layout, compilation and threads.
        device: where to compute.

    Returns:
        The timing; None if torch.compile fails, for lack of a compiler or of an operation, or if
        CUDA graphs cannot record the network.

    Raises:
        WeightsError: the backbone is unknown to this installation.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(config.threads)
    deterministic = torch.backends.cudnn.deterministic
    try:
        with cudnn_options(benchmark=config.cudnn_benchmark, deterministic=deterministic):
            return _time_fitting_batch(recipe, classes, config, device)
    except RuntimeError:  # the base class of torch.compile's errors
        if not (config.compiled or config.cuda_graphs):
            raise
        return None
    finally:
        torch.set_num_threads(threads)
        # The next candidate, or the first fold, has the device's memory to itself.
        if device.type != "cpu":
            clear_device_cache(garbage_collection=True)


def timed_batch_size(recipe: Recipe, device: torch.device) -> int:
    """Choose the batch size of timed steps.

    Args:
        recipe: its batch size is the upper limit.
        device: where to compute.
    """
    batch_size = recipe.train.batch_size
    if device.type == "cpu":
        return min(batch_size, MAX_CPU_BATCH)
    return batch_size


def _time_fitting_batch(
    recipe: Recipe,
    classes: int,
    config: ComputeConfig,
    device: torch.device,
) -> StepTiming:
    """Time steps, with a smaller batch if memory is short, as training itself would."""
    batch_size = timed_batch_size(recipe, device)
    while True:
        try:
            return _time_batch(recipe, classes, config, device, batch_size)
        except RuntimeError as error:
            if not (can_halve(batch_size) and is_out_of_memory(error)):
                raise
            batch_size //= 2
        # Only here: inside the handler, the error still holds the failed step's tensors.
        clear_device_cache(garbage_collection=True)


def _time_batch(
    recipe: Recipe,
    classes: int,
    config: ComputeConfig,
    device: torch.device,
    batch_size: int,
) -> StepTiming:
    """Time steps of one batch size; the network is freed afterwards."""
    step = build_step(recipe, classes, config, device, batch_size)
    with keep_freed_memory(device):
        starting = _time_call(step, device)
        fastest = min(_time_call(step, device) for _ in range(TIMED_STEPS))
    return StepTiming(fastest / batch_size, starting)


def build_step(
    recipe: Recipe,
    classes: int,
    config: ComputeConfig,
    device: torch.device,
    batch_size: int,
) -> Callable[[], None]:
    """Build a function that makes one training step on a random batch.

    Args:
        recipe: of the training.
        classes: number of outputs.
        config: precision, layout, compilation and shortcuts.
        device: where to compute.
        batch_size: images of the batch.

    Returns:
        The step.

    Raises:
        WeightsError: the backbone is unknown to this installation.
    """
    classifier = _build_classifier(recipe, classes, config, device)
    network = with_shortcuts(classifier, recipe, config)
    if config.compiled:
        network = CompiledNetwork(network, batch_size)
    elif config.cuda_graphs:
        network = GraphedNetwork(network, batch_size)
    optimizer = build_optimizer(classifier, recipe.optimizer)
    frequencies = torch.full((classes,), 1 / classes, device=device)
    loss_of = build_loss(recipe.loss, frequencies)
    views, targets = _random_batch(recipe.view.size, classes, batch_size, device)

    def step() -> None:
        with _autocast(config, device):
            images = classifier.preprocess(views)
            images = images.contiguous(memory_format=config.memory_format)
            logits = network(images).float()
            loss = loss_of(logits, targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def _autocast(config: ComputeConfig, device: torch.device) -> torch.autocast:
    return torch.autocast(
        device.type,
        dtype=DTYPES[config.precision],
        enabled=config.precision != "float32",
        cache_enabled=not config.cuda_graphs,  # a recording may not use what was computed before it
    )


def _build_classifier(
    recipe: Recipe,
    classes: int,
    config: ComputeConfig,
    device: torch.device,
) -> Classifier:
    classifier = build_classifier(recipe.model.backbone, classes, "none")
    classifier.to(device)
    if recipe.adapts:
        add_lora(classifier, recipe.model.lora, recipe.view.size)
    freeze(classifier, recipe.model)
    set_training_mode(classifier, recipe.model)
    classifier.to(memory_format=config.memory_format)
    return classifier


def _random_batch(
    size: int, classes: int, batch_size: int, device: torch.device
) -> tuple[torch.Tensor, torch.Tensor]:
    """Draw random views, uint8 (n, size, size, 3), and one-hot targets (n, classes)."""
    shape = (batch_size, size, size, 3)
    views = torch.randint(0, 256, shape, dtype=torch.uint8, device=device)
    labels = torch.arange(batch_size, device=device) % classes
    one_hot = functional.one_hot(labels, classes)
    return views, one_hot.float()


def _time_call(step: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    step()
    synchronize(device)
    return time.perf_counter() - started
