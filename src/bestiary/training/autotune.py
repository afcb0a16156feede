"""Autotune: time a few training steps, and choose the fastest ComputeConfig of a run.

A ComputeConfig is precision, memory layout, compilation, threads, and a GPU's CUDA graphs. The
fastest one depends on the network as much as on the device: depthwise convolutions gain little from
channels-last layout, for one. Measured timings are cached for this machine. The decision is a file
of the run, so that every fold and every resumption computes alike. Measuring takes at most
`AUTOTUNE_BUDGET` of the expected training time; only compilation on a GPU, which saves more than it
costs, is timed whenever the expected gain is larger. Knows nothing of images.
"""

import time
from collections.abc import Iterator
from dataclasses import asdict, fields, replace
from itertools import product
from typing import Any

import torch

from bestiary.cores import cores
from bestiary.details import detail, stage
from bestiary.display import Display
from bestiary.errors import DamagedError
from bestiary.model.compute import DTYPES, ComputeConfig, device_name, resolve_precision
from bestiary.model.device import best_device
from bestiary.recipe.choices import Precision
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import TrainOptions
from bestiary.run.layout import COMPUTE
from bestiary.run.run import Run
from bestiary.training.distributed import SINGLE_PROCESS, World
from bestiary.training.step_timing import TIMED_STEPS, time_training_step, timed_batch_size
from bestiary.training.timing_cache import TimingCache, Timings

AUTOTUNE_BUDGET = 0.02  # share of the expected training time
MIN_GAIN = 0.05  # share of the time that a candidate must save, so that noise does not decide
COMPILE_SECONDS = 120.0  # expected, before compilation has been timed
CUDNN_SECONDS = 5.0  # expected, to time the algorithms of a network's convolutions
CUDA_GRAPH_SECONDS = 2.0  # expected, to record a network's graphs
# Share of the time that compilation is expected to save on a GPU: 0.1 to 0.25 of a ResNeXt's, half
# of a small network's (timm's tables of benchmarks).
COMPILE_GAIN_ON_GPU = 0.15
# Absent from the files of earlier versions
_ADDED = ("cudnn_benchmark", "cuda_graphs", "folded_norms", "fast_depthwise")
MAX_THREADS = 4096
# Of PyTorch's own on the CPU, where a GPU computes: more would take cores from the loader's.
THREADS_WITH_GPU = 4
LAYOUTS = {
    "auto": [True, False],
    "channels_last": [True],
    "contiguous": [False],
}


def autotune_compute(
    run: Run, images: int, classes: int, display: Display, world: World = SINGLE_PROCESS
) -> ComputeConfig:
    """Choose a run's ComputeConfig, write it to the run, and set PyTorch's threads.

    The recipe's values are taken as they are. Values that it leaves open are autotuned, unless the
    run has a decision for this type of device already.

    Args:
        run: its compute.json keeps the decision, one for each type of device.
        images: training views of all folds and epochs together, which limits the time to measure.
        classes: number of outputs.
        display: shows the decision.
        world: the ranks of this training. The main one decides, as if it had the machine to itself.

    Returns:
        The decision. Its threads are those of the machine, which its ranks share.

    Raises:
        RunError: compute.json is damaged.
        WeightsError: the backbone is unknown to this installation.
    """
    device = best_device()
    # The decision must not depend on the number of ranks.
    if world.size > 1 and device.type == "cpu":
        torch.set_num_threads(cores())
    decision = world.on_main(lambda: _decide(run, images, classes, device))
    config = world.broadcast_object(decision)
    assert config is not None  # rank 0 has decided
    threads = config.threads if device.type == "cpu" else min(config.threads, THREADS_WITH_GPU)
    torch.set_num_threads(max(1, threads // world.local_size))
    shared = f", shared by {world.size} processes" if world.size > 1 else ""
    display.line(f"Compute: {config}{shared} on {device_name(device)}")
    return config


@stage("Timing training steps")
def _decide(run: Run, images: int, classes: int, device: torch.device) -> ComputeConfig:
    """Read the decision from the run, or autotune and write it."""
    decisions: dict[str, Any] = {}
    if run.file(COMPUTE).exists():
        decisions = run.read_json(COMPUTE)
    if device.type in decisions:
        detail(f"precision and layout: as the run decided before, in {COMPUTE}")
        return _read_decision(run, decisions[device.type])

    config, timings = choose_config(run.read_recipe(), images, classes, device)
    measured = [
        {
            **asdict(candidate),
            **asdict(timing),
        }
        for candidate, timing in timings.items()
    ]
    decisions[device.type] = {
        **asdict(config),
        "device": device_name(device),
        "torch": torch.__version__,
        "trial": measured,
    }
    run.write_json(COMPUTE, decisions)
    return config


def _read_decision(run: Run, decision: Any) -> ComputeConfig:
    names = [field.name for field in fields(ComputeConfig)]
    try:
        known = dict.fromkeys(_ADDED, False) | decision
        values = {name: known[name] for name in names}
        config = ComputeConfig(**values)
        _check(config)
    except (KeyError, TypeError, ValueError):
        raise DamagedError.foreign(run.file(COMPUTE), remedy="remove it") from None
    return config


def _check(config: ComputeConfig) -> None:
    """Check a decision from a file, since a run may come from a stranger.

    Raises:
        ValueError: autotuning cannot have chosen it.
    """
    is_valid = (
        config.precision in DTYPES
        and isinstance(config.channels_last, bool)
        and isinstance(config.compiled, bool)
        and all(isinstance(getattr(config, name), bool) for name in _ADDED)
        and config.threads in range(1, MAX_THREADS + 1)
    )
    if not is_valid:
        raise ValueError(config)


def choose_config(
    recipe: Recipe, images: int, classes: int, device: torch.device
) -> tuple[ComputeConfig, Timings]:
    """Choose the fastest candidate that the recipe allows.

    Args:
        recipe: of the training.
        images: training views of all folds and epochs together; 0 to measure nothing.
        classes: number of outputs.
        device: where to compute.

    Returns:
        The fastest candidate, or what was decided for such a training on this machine before; and
        the timings of all that were measured.
    """
    options = recipe.train
    configs = candidates(recipe, device)
    is_settled = len(configs) == 1 and options.compile != "auto" and options.threads
    if not images or is_settled:
        return configs[0], {}

    tuner = _Autotuner(recipe, images, classes, device)
    if tuner.decided:
        detail("precision and layout: as decided for such a training on this machine before")
        return tuner.decided, tuner.cached
    for config in configs:
        tuner.measure(config)
    measured = [config for config in configs if config in tuner.timings]
    best = fastest(measured, tuner.timings)

    for change, expected_seconds in further_changes(best, options, device):
        config = replace(best, **change)
        tuner.measure(config, expected_seconds)
        if tuner.pays_off(config, best):
            best = config
    tuner.save(best)
    return best, tuner.timings


def candidates(recipe: Recipe, device: torch.device) -> list[ComputeConfig]:
    """List the combinations of precision and layout that the recipe leaves open.

    Args:
        recipe: its precision, layout, compilation and threads, and what is frozen.
        device: where to compute.

    Returns:
        Candidates, the one that is expected to be fastest first.
    """
    options = recipe.train
    precisions = [resolve_precision(options.precision, device)]
    # Some networks are faster in float32 on some CPUs, but none is on a GPU.
    if options.precision == "auto" and device.type == "cpu":
        precisions.append("float32")
    is_compiled = options.compile == "always"
    threads = options.threads or torch.get_num_threads()
    distinct_precisions = dict.fromkeys(precisions)
    combinations = product(distinct_precisions, LAYOUTS[options.layout])
    return [
        ComputeConfig(
            precision,
            channels_last,
            is_compiled,
            threads,
            **_shortcuts(recipe, precision, device, is_compiled),
        )
        for precision, channels_last in combinations
    ]


def _shortcuts(
    recipe: Recipe, precision: Precision, device: torch.device, is_compiled: bool
) -> dict[str, bool]:
    """Choose the shortcuts of a training step in bf16 on a CPU.

    They are not timed: benchmarks/speed/shortcuts.py has what they gain in usual networks.
    torch.compile does without: it fuses norms by itself.
    """
    helps = precision == "bf16" and device.type == "cpu" and not is_compiled
    norms_are_frozen = recipe.model.freeze_norms or recipe.model.freeze > 0
    return {"folded_norms": helps and norms_are_frozen, "fast_depthwise": helps}


def further_changes(
    best: ComputeConfig, options: TrainOptions, device: torch.device
) -> Iterator[tuple[dict[str, Any], float]]:
    """Yield changes that may improve on the best candidate so far: each adds to those that did.

    More threads, algorithms chosen by cuDNN's benchmark, CUDA graphs, and compilation.

    Args:
        best: the fastest combination of precision and layout.
        options: of the recipe.
        device: where to compute.

    Yields:
        Attributes of `ComputeConfig`, and the seconds that measuring them is expected to take
        besides a few steps.
    """
    threads = cores()
    threads_are_open = device.type == "cpu" and options.threads == 0
    if threads_are_open and threads != best.threads:
        yield {"threads": threads}, 0.0
    if device.type == "cuda" and not options.deterministic:
        yield {"cudnn_benchmark": True}, CUDNN_SECONDS
    if device.type == "cuda" and options.compile == "auto":
        yield {"cuda_graphs": True}, CUDA_GRAPH_SECONDS
    if options.compile == "auto":
        without = {"folded_norms": False, "fast_depthwise": False, "cuda_graphs": False}
        yield {"compiled": True, **without}, COMPILE_SECONDS


def fastest(configs: list[ComputeConfig], timings: Timings) -> ComputeConfig:
    """Choose the fastest candidate, or the first if no other is faster by more than `MIN_GAIN`.

    Args:
        configs: candidates, the one that is expected to be fastest first.
        timings: of all `configs`.
    """

    def seconds_of(config: ComputeConfig) -> float:
        return timings[config].seconds

    expected = configs[0]
    quickest = min(configs, key=seconds_of)
    max_seconds = (1 - MIN_GAIN) * seconds_of(expected)
    if seconds_of(quickest) < max_seconds:
        return quickest
    return expected


class _Autotuner:
    """Timings of candidates, measured within the time budget or read from the cache."""

    def __init__(self, recipe: Recipe, images: int, classes: int, device: torch.device) -> None:
        self.recipe = recipe
        self.folds = recipe.folds.n
        self.images = images
        self.classes = classes
        self.device = device
        self.timings: Timings = {}
        self._cache = TimingCache(recipe, device, images, classes)
        self.cached, self.decided = self._cache.read()
        self._spent = 0.0  # seconds

    def measure(self, config: ComputeConfig, expected_seconds: float = 0.0) -> None:
        """Time a candidate, if it is neither cached nor over the budget."""
        if config in self.cached:
            self.timings[config] = self.cached[config]
            return
        # Without any timing the length of the training, and so the budget, is unknown.
        if self.timings and not self._is_worth_timing(config, expected_seconds):
            return

        started = time.perf_counter()
        timing = time_training_step(self.recipe, self.classes, config, self.device)
        self._spent += time.perf_counter() - started
        if timing:
            detail(f"timed: {1000 * timing.seconds:.1f} ms an image, {config}")
            self.timings[config] = timing

    def pays_off(self, config: ComputeConfig, best: ComputeConfig) -> bool:
        """Check that a candidate saves more than `MIN_GAIN`, and more than its first steps take.

        Each fold compiles again.
        """
        if config not in self.timings:
            return False
        timing = self.timings[config]
        best_seconds = self.timings[best].seconds
        gain = best_seconds - timing.seconds
        is_clear = gain > MIN_GAIN * best_seconds
        return is_clear and gain * self.images > self.folds * timing.starting

    def save(self, decision: ComputeConfig) -> None:
        """Add new timings and the decision to the cache."""
        self._cache.write(self.cached | self.timings, decision)

    def _is_worth_timing(self, config: ComputeConfig, expected_seconds: float) -> bool:
        """Check whether a candidate is within the budget, or on a GPU likely to save time."""
        if not config.compiled or self.device.type == "cpu":
            return self._is_affordable(expected_seconds)
        image_seconds = min(timing.seconds for timing in self.timings.values())
        gain = COMPILE_GAIN_ON_GPU * self.images * image_seconds
        return gain > self.folds * expected_seconds

    def _is_affordable(self, expected_seconds: float) -> bool:
        """Check whether the budget covers another candidate, besides the time that is spent."""
        image_seconds = min(timing.seconds for timing in self.timings.values())
        budget = AUTOTUNE_BUDGET * self.images * image_seconds

        # A second to build the network, then steps that may take twice the time of the fastest.
        n_steps = TIMED_STEPS + 1
        images = n_steps * timed_batch_size(self.recipe, self.device)
        step_seconds = 1.0 + 2 * images * image_seconds
        candidate_seconds = max(expected_seconds, step_seconds)
        return self._spent + candidate_seconds <= budget
