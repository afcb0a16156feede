"""A network and a device -> the arithmetic that trains it fastest there, measured on a few real
steps.

Which precision and layout win depends on the network as much as on the device (depthwise
convolutions, for one, gain little from channels innermost). What was measured is remembered for
this machine; what was decided stands in the run, and every fold and every resumption goes by it. A
trial never takes more than `SHARE` of the training that it serves. Knows nothing of images: the
steps are made on random ones.
"""

import json
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from bestiary.atomic import write_text
from bestiary.caches import cache_root
from bestiary.cores import cores
from bestiary.display import Display
from bestiary.errors import BestiaryError, RunError
from bestiary.model.classifier import Classifier, build_classifier
from bestiary.model.compute import (
    DTYPES,
    ComputeConfig,
    best_device,
    device_name,
    resolve_precision,
)
from bestiary.model.freezing import freeze, set_training_mode
from bestiary.recipe.options import Recipe, TrainOptions
from bestiary.run.layout import COMPUTE
from bestiary.run.run import Run
from bestiary.training.distributed import SINGLE_PROCESS, World
from bestiary.training.loss import build_loss
from bestiary.training.malloc import freed_memory_kept
from bestiary.training.optimizer import build_optimizer
from bestiary.training.out_of_memory import is_out_of_memory

SHARE = 0.02  # of the training's expected time that the trial may take
# what a way must be faster by than the one expected to be best, so that noise does not choose
MARGIN = 0.05
COMPILING_SECONDS = 120.0  # what compiling is expected to take before it has been tried
STEPS = 3


@dataclass(frozen=True, slots=True)
class Timing:
    """What one way of computing takes.

    Attributes:
        seconds: an image and training step.
        starting: seconds of the first step, compilation included.
    """

    seconds: float
    starting: float


Timings = dict[ComputeConfig, Timing]


def autotune_compute(
    run: Run, images: int, classes: int, display: Display, world: World = SINGLE_PROCESS
) -> ComputeConfig:
    """The arithmetic that the run's recipe asks for, what it leaves open decided by a trial;
    written to the run.

    Args:
        run: whose compute.json keeps the decision, one for each type of device.
        images: views that all its folds and epochs train on together, which bounds the trial.
        classes: number of outputs.
        display: told of the decision.
        world: the processes that go by it; the main one decides, as if it had its machine to
            itself.

    Raises:
        RunError: compute.json is damaged.
        WeightsError: the backbone is unknown to this installation.
    """
    device = best_device()
    if (
        world.size > 1 and device.type == "cpu"
    ):  # so that the decision is the same for any number of processes
        torch.set_num_threads(cores())
    with world.synchronized() as main:
        settled = _settle(run, images, classes, device) if main else ComputeConfig("float32")
    arithmetic = world.broadcast_object(settled)
    if device.type == "cpu":
        torch.set_num_threads(max(1, arithmetic.threads // world.local_size))
    shared = f", shared by {world.size} processes" if world.size > 1 else ""
    display.line(f"Arithmetic: {arithmetic}{shared} on {device_name(device)}")
    return arithmetic


def _settle(run: Run, images: int, classes: int, device: torch.device) -> ComputeConfig:
    """What the run has decided before; else decide it and write it down."""
    decided = run.read_json(COMPUTE) if run.file(COMPUTE).exists() else {}
    if device.type in decided:
        try:
            arithmetic = ComputeConfig(
                **{key: decided[device.type][key] for key in asdict(ComputeConfig("bf16"))}
            )
            _check(arithmetic)
        except (KeyError, TypeError, ValueError):
            raise RunError(
                f"{run.file('compute.json')}: is not of bestiary's making; remove it"
            ) from None
        return arithmetic
    arithmetic, timings = decide(run.read_recipe(), images, classes, device)
    measured = [{**asdict(a), **asdict(t)} for a, t in timings.items()]
    entry = {
        **asdict(arithmetic),
        "device": device_name(device),
        "torch": torch.__version__,
        "trial": measured,
    }
    run.write_json(COMPUTE, {**decided, device.type: entry})
    return arithmetic


def _check(arithmetic: ComputeConfig) -> None:
    """Raise ValueError for what no trial has decided; a run may come from a stranger."""
    switches = isinstance(arithmetic.channels_last, bool) and isinstance(arithmetic.compiled, bool)
    if (
        arithmetic.precision not in DTYPES
        or not switches
        or arithmetic.threads not in range(1, 4097)
    ):
        raise ValueError(arithmetic)


def decide(
    recipe: Recipe, images: int, classes: int, device: torch.device
) -> tuple[ComputeConfig, Timings]:
    """The fastest of the ways that the recipe leaves open, and what has been measured of them."""
    ways = candidates(recipe.train, device)
    if not images or (len(ways) == 1 and recipe.train.compile != "auto" and recipe.train.threads):
        return ways[0], {}
    trial = _Trial(recipe, images, classes, device)
    for way in ways:
        trial.measure(way)
    best = fastest([way for way in ways if way in trial.timings], trial.timings)
    for way, seconds in variants(best, recipe.train, device):
        trial.measure(way, seconds)
        if trial.pays(way, best):
            best = way
    trial.remember()
    return best, trial.timings


def candidates(options: TrainOptions, device: torch.device) -> list[ComputeConfig]:
    """The precisions and layouts that the recipe leaves open on `device`, the one expected to be
    best first.
    """
    best = resolve_precision(options.precision, device)
    # Among GPUs none is faster in float32; among CPUs some are, for some networks.
    precisions = (
        [best, "float32"] if options.precision == "auto" and device.type == "cpu" else [best]
    )
    layouts = {"auto": [True, False], "channels_last": [True], "contiguous": [False]}[
        options.layout
    ]
    threads = options.threads or torch.get_num_threads()
    ways = product(dict.fromkeys(precisions), layouts)
    return [
        ComputeConfig(precision, layout, options.compile == "always", threads)
        for precision, layout in ways
    ]


def variants(
    best: ComputeConfig, options: TrainOptions, device: torch.device
) -> Iterator[tuple[ComputeConfig, float]]:
    """What else may be tried beside `best`, and the seconds that this may take beyond a few
    steps' time.
    """
    every = cores()
    if device.type == "cpu" and options.threads == 0 and every != best.threads:
        yield replace(best, threads=every), 0.0
    if options.compile == "auto":
        yield replace(best, compiled=True), COMPILING_SECONDS


def fastest(ways: list[ComputeConfig], timings: Timings) -> ComputeConfig:
    """The first of `ways`, unless another is faster by more than `MARGIN`; then the fastest."""
    quickest = min(ways, key=lambda way: timings[way].seconds)
    return (
        quickest if timings[quickest].seconds < (1 - MARGIN) * timings[ways[0]].seconds else ways[0]
    )


def time_training_step(
    recipe: Recipe, classes: int, way: ComputeConfig, device: torch.device
) -> Timing | None:
    """Time training steps as the loop makes them, on random images; None where the device cannot
    compute that way.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(way.threads)
    count = _batch(recipe, device)
    try:
        while True:
            try:
                step = _training_step(recipe, classes, way, device, count)
                with freed_memory_kept(device):
                    starting = _seconds(step, device)
                    return Timing(
                        min(_seconds(step, device) for _ in range(STEPS)) / count, starting
                    )
            except RuntimeError as error:
                if count < 4 or not is_out_of_memory(error):
                    raise
                count //= 2  # as training itself will do
    except (
        RuntimeError
    ):  # torch.compile's own errors are of this kind: no compiler, an operation it does not know
        if not way.compiled:
            raise
        return None
    finally:
        torch.set_num_threads(before)


def _training_step(
    recipe: Recipe, classes: int, way: ComputeConfig, device: torch.device, count: int
) -> Callable[[], None]:
    size = recipe.view.size
    classifier: Classifier = build_classifier(recipe.model.backbone, classes, "none").to(device)
    freeze(classifier, recipe.model)
    set_training_mode(classifier, recipe.model)
    classifier.to(memory_format=way.memory_format)
    network: Callable[[torch.Tensor], torch.Tensor] = (
        torch.compile(classifier) if way.compiled else classifier
    )
    even = torch.full((classes,), 1 / classes, device=device)
    optimizer, loss_of = (
        build_optimizer(classifier, recipe.optimizer),
        build_loss(recipe.loss, even),
    )
    views = torch.randint(0, 256, (count, size, size, 3), dtype=torch.uint8, device=device)
    targets = functional.one_hot(torch.arange(count, device=device) % classes, classes).float()

    def step() -> None:
        with torch.autocast(
            device.type, dtype=DTYPES[way.precision], enabled=way.precision != "float32"
        ):
            images = classifier.preprocess(views).contiguous(memory_format=way.memory_format)
            loss = loss_of(network(images).float(), targets)
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        optimizer.zero_grad()

    return step


def _batch(recipe: Recipe, device: torch.device) -> int:
    # A CPU's speed is the same from a few images on; a GPU's is not.
    return min(recipe.train.batch_size, 16) if device.type == "cpu" else recipe.train.batch_size


def _seconds(step: Callable[[], None], device: torch.device) -> float:
    started = time.perf_counter()
    step()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return time.perf_counter() - started


class _Trial:
    """Measurements for one training, those of former trials on this machine among them."""

    def __init__(self, recipe: Recipe, images: int, classes: int, device: torch.device) -> None:
        self.recipe, self.images, self.classes, self.device = recipe, images, classes, device
        self.memory = _Memory(recipe, device)
        self.remembered = self.memory.recall()
        self.timings: Timings = {}
        self.spent = 0.0

    def measure(self, way: ComputeConfig, seconds: float = 0.0) -> None:
        """Measure one way, where it has not been and the training is long enough for the
        `seconds` it may take.
        """
        if way in self.remembered:
            self.timings[way] = self.remembered[way]
            return
        # The first measurement tells what the training takes; until then nothing can be judged.
        if self.timings and not self._affordable(seconds):
            return
        started = time.perf_counter()
        timing = time_training_step(self.recipe, self.classes, way, self.device)
        self.spent += time.perf_counter() - started
        if timing:
            self.timings[way] = timing

    def pays(self, way: ComputeConfig, best: ComputeConfig) -> bool:
        """Whether `way` has been measured and saves more than noise and more than it takes to
        start.
        """
        if way not in self.timings:
            return False
        timing, now = self.timings[way], self.timings[best].seconds
        gain = now - timing.seconds
        return gain > MARGIN * now and gain * self.images > timing.starting

    def remember(self) -> None:
        """Keep what this trial has added."""
        if not self.timings.keys() <= self.remembered.keys():
            self.memory.keep({**self.remembered, **self.timings})

    def _affordable(self, seconds: float) -> bool:
        quickest = min(timing.seconds for timing in self.timings.values())
        # Building the network, and steps that may take twice the best's time.
        steps = 1.0 + 2 * (STEPS + 1) * _batch(self.recipe, self.device) * quickest
        return self.spent + max(seconds, steps) <= SHARE * self.images * quickest


class _Memory:
    """What was measured on this machine before, in the user's cache folder."""

    def __init__(self, recipe: Recipe, device: torch.device) -> None:
        self.file: Path = cache_root() / COMPUTE
        model = recipe.model.model_dump(include={"backbone", "freeze", "freeze_norms"})
        parts = [device_name(device), torch.get_num_threads(), torch.__version__, recipe.view.size]
        self.key = json.dumps([*parts, recipe.train.batch_size, model])

    def recall(self) -> Timings:
        try:
            entries = self._content().get(self.key, [])
            return {
                ComputeConfig(**entry["arithmetic"]): Timing(**entry["timing"]) for entry in entries
            }
        except (TypeError, KeyError, AttributeError):
            return {}  # of another version's making

    def keep(self, timings: Timings) -> None:
        entries = [{"arithmetic": asdict(a), "timing": asdict(t)} for a, t in timings.items()]
        with suppress(
            BestiaryError
        ):  # a cache that cannot be written costs the next run a trial, no more
            write_text(
                self.file, json.dumps({**self._content(), self.key: entries}, indent=1) + "\n"
            )

    def _content(self) -> dict[str, Any]:
        try:
            content = json.loads(self.file.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return content if isinstance(content, dict) else {}
