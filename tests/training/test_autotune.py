"""Autotuning: candidates, their time budget, the cache of timings, and the decision of a run."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
import torch

import bestiary
from bestiary.display import Display
from bestiary.errors import RunError
from bestiary.model.compute import ComputeConfig
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.run.run import Run
from bestiary.training import autotune
from bestiary.training.autotune import autotune_compute, candidates, choose_config, fastest
from bestiary.training.step_timing import StepTiming, time_training_step
from bestiary.training.timing_cache import TimingCache

CPU = torch.device("cpu")
MANY_IMAGES = 10**9
ALL_PLAIN = [("bf16", True), ("bf16", False), ("float32", True), ("float32", False)]

Speeds = dict[tuple[str, bool, bool], float]
"""Precision, channels last, compiled -> seconds an image."""


@pytest.fixture
def measured() -> list[ComputeConfig]:
    """The candidates that were timed, in order."""
    return []


@pytest.fixture
def speeds(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, measured: list[ComputeConfig]
) -> Speeds:
    """Pretended timings; compiling takes 100 s. A candidate without an entry cannot run."""
    pretended: Speeds = {}

    def resolve_precision(precision: str, device: torch.device) -> str:
        return "bf16" if precision == "auto" else precision

    def time_step(
        recipe: Recipe, classes: int, config: ComputeConfig, device: torch.device
    ) -> StepTiming | None:
        measured.append(config)
        key = (config.precision, config.channels_last, config.compiled)
        if key not in pretended:
            return None
        seconds = pretended[key]
        return StepTiming(seconds, 100.0 if config.compiled else seconds)

    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(autotune, "resolve_precision", resolve_precision)
    monkeypatch.setattr(autotune, "time_training_step", time_step)
    return pretended


def recipe_of(tiny: Path, *overrides: str) -> Recipe:
    return load_recipe(tiny, [f"train.threads={torch.get_num_threads()}", *overrides])


def cache_of(tiny: Path) -> TimingCache:
    return TimingCache(recipe_of(tiny), CPU, MANY_IMAGES, 3)


def choose(recipe: Recipe, images: int = MANY_IMAGES) -> ComputeConfig:
    config, _ = choose_config(recipe, images, 3, CPU)
    return config


def set_all_plain(speeds: Speeds, seconds: float) -> None:
    """Let every candidate that is not compiled take equally long."""
    for precision, channels_last in ALL_PLAIN:
        speeds[precision, channels_last, False] = seconds


def test_recipes_values_are_not_timed(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig]
) -> None:
    recipe = recipe_of(
        tiny,
        "train.precision=float32",
        "train.layout=contiguous",
        "train.compile=never",
    )
    expected = ComputeConfig("float32", False, False, torch.get_num_threads())
    assert choose_config(recipe, MANY_IMAGES, 3, CPU) == (expected, {})
    assert not measured


@pytest.mark.parametrize("quickest", ALL_PLAIN)
def test_fastest_candidate_is_chosen(
    tiny: Path, speeds: Speeds, quickest: tuple[str, bool]
) -> None:
    set_all_plain(speeds, 0.01)
    speeds[(*quickest, False)] = 0.005
    recipe = recipe_of(tiny, "train.compile=never")
    config, timings = choose_config(recipe, MANY_IMAGES, 3, CPU)
    assert (config.precision, config.channels_last) == quickest
    assert len(timings) == 4


def test_noise_does_not_decide() -> None:
    first = ComputeConfig("bf16", True)
    second = ComputeConfig("bf16", False)
    timings = {first: StepTiming(1.0, 1.0), second: StepTiming(0.96, 1.0)}
    assert fastest([first, second], timings) == first
    timings[second] = StepTiming(0.94, 1.0)
    assert fastest([first, second], timings) == second


def test_budget_of_a_short_training(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig]
) -> None:
    speeds["bf16", True, False] = 0.01
    speeds["bf16", False, False] = 0.001
    config = choose(recipe_of(tiny), images=100)  # a second of training
    threads = torch.get_num_threads()
    assert config == ComputeConfig("bf16", True, False, threads, fast_depthwise=True)
    assert measured == [config]


def test_compile_only_where_it_pays_off(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig]
) -> None:
    speeds["bf16", True, False] = 0.01
    speeds["bf16", False, False] = 0.02
    speeds["bf16", True, True] = 0.005
    speeds["float32", True, False] = 0.05
    speeds["float32", False, False] = 0.05
    recipe = recipe_of(tiny)
    # A thousand seconds of training are too short to time it.
    assert not choose(recipe, images=100_000).compiled
    assert not any(config.compiled for config in measured)
    assert choose(recipe).compiled
    # Its timing is cached now, but the time to compile would not be won back.
    assert not choose(recipe, images=15_000).compiled
    assert sum(config.compiled for config in measured) == 1


@pytest.mark.parametrize(("images", "is_timed"), [(150_000, False), (600_000, True)])
def test_gpu_times_compiling_where_it_may_gain(
    tiny: Path,
    speeds: Speeds,
    measured: list[ComputeConfig],
    monkeypatch: pytest.MonkeyPatch,
    images: int,
    is_timed: bool,
) -> None:
    """Of 5 folds that take 1500 or 6000 s, 15 % are 225 or 900 s: 5 x 120 s are between these."""
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "card")
    set_all_plain(speeds, 0.01)
    speeds["bf16", True, True] = 0.0095
    config, _ = choose_config(recipe_of(tiny), images, 3, torch.device("cuda"))
    assert any(config.compiled for config in measured) == is_timed
    # 6000 s become 5700 s, but each of five folds compiles for 100 s.
    assert not config.compiled
    speeds["bf16", True, True] = 0.005
    cache_of(tiny).file.unlink()
    config, _ = choose_config(recipe_of(tiny), images, 3, torch.device("cuda"))
    assert config.compiled == is_timed


def test_gpu_tries_cudnns_benchmark(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "card")
    set_all_plain(speeds, 0.01)
    gpu = torch.device("cuda")
    plain = recipe_of(tiny, "train.compile=never")
    choose_config(plain, MANY_IMAGES, 3, gpu)
    assert [config.cudnn_benchmark for config in measured] == [False, False, True]
    measured.clear()
    same_bits = recipe_of(tiny, "train.compile=never", "train.deterministic=true")
    choose_config(same_bits, MANY_IMAGES, 3, gpu)
    assert not any(config.cudnn_benchmark for config in measured), "its choice varies"


def test_gpu_takes_cuda_graphs_or_compiled_code(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda _device: "card")
    set_all_plain(speeds, 0.01)
    plain_step = autotune.time_training_step

    def faster_by_graphs(*args: Any) -> StepTiming | None:
        timing = plain_step(*args)
        config = args[2]
        if timing is None or not config.cuda_graphs:
            return timing
        return StepTiming(timing.seconds / 2, timing.starting)

    monkeypatch.setattr(autotune, "time_training_step", faster_by_graphs)
    gpu = torch.device("cuda")
    config, _ = choose_config(recipe_of(tiny), MANY_IMAGES, 3, gpu)
    assert config.cuda_graphs and not config.compiled
    assert not any(config.cuda_graphs and config.compiled for config in measured)

    # Compiled code is tried after them, and taken where it is faster still.
    cache_of(tiny).file.unlink()
    speeds["bf16", True, True] = 0.002
    config, _ = choose_config(recipe_of(tiny), MANY_IMAGES, 3, gpu)
    assert config.compiled and not config.cuda_graphs

    measured.clear()
    choose_config(recipe_of(tiny, "train.compile=never"), MANY_IMAGES, 3, gpu)
    choose_config(recipe_of(tiny), MANY_IMAGES, 3, CPU)
    assert not any(config.cuda_graphs for config in measured)


def test_failed_compile_is_not_chosen(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig]
) -> None:
    set_all_plain(speeds, 0.01)
    config, timings = choose_config(recipe_of(tiny), MANY_IMAGES, 3, CPU)
    assert any(config.compiled for config in measured)
    assert not config.compiled
    assert not any(config.compiled for config in timings)


def test_timing_cache(tiny: Path, speeds: Speeds, measured: list[ComputeConfig]) -> None:
    set_all_plain(speeds, 0.01)
    recipe = recipe_of(tiny, "train.compile=never")
    first = choose_config(recipe, MANY_IMAGES, 3, CPU)
    assert len(measured) == 4
    assert choose_config(recipe, MANY_IMAGES, 3, CPU) == first
    assert len(measured) == 4
    choose(recipe_of(tiny, "train.compile=never", "view.size=48"))
    assert len(measured) == 8
    cache_of(tiny).file.write_text("[1]")
    assert choose(recipe) == first[0]


def test_same_training_decides_the_same_twice(
    tiny: Path, speeds: Speeds, measured: list[ComputeConfig]
) -> None:
    """A second run would afford what the first did not, and knows what a longer one has timed."""
    speeds["bf16", True, False] = 0.01
    for other in ALL_PLAIN[1:]:
        speeds[(*other, False)] = 0.001
    recipe = recipe_of(tiny, "train.compile=never")
    first = choose(recipe, images=100)  # a second of training
    assert len(measured) == 1
    assert choose(recipe, images=100) == first
    assert len(measured) == 1
    assert choose(recipe, images=MANY_IMAGES) != first
    assert len(measured) == len(ALL_PLAIN)
    assert choose(recipe, images=100) == first


def test_candidates_are_what_the_recipe_leaves_open(tiny: Path) -> None:
    recipe = recipe_of(tiny, "train.precision=float32", "train.compile=always", "train.threads=3")
    assert candidates(recipe, CPU) == [
        ComputeConfig("float32", channels_last, True, 3) for channels_last in (True, False)
    ]
    recipe = recipe_of(tiny, "train.precision=fp16")
    on_gpu = candidates(recipe, torch.device("cuda"))
    assert {config.precision for config in on_gpu} == {"fp16"}


@pytest.mark.parametrize(
    ("options", "device", "folded", "fast_depthwise"),
    [
        (["model.freeze_norms=true"], "cpu", True, True),
        (["model.freeze=1"], "cpu", True, True),
        (["model.freeze_norms=false"], "cpu", False, True),
        (["model.freeze_norms=true", "train.compile=always"], "cpu", False, False),
        (["model.freeze_norms=true", "train.precision=float32"], "cpu", False, False),
        (["model.freeze_norms=true"], "cuda", False, False),
    ],
)
def test_shortcuts_in_bf16_on_a_cpu(
    tiny: Path, options: list[str], device: str, folded: bool, fast_depthwise: bool
) -> None:
    first, *_ = candidates(recipe_of(tiny, "train.precision=bf16", *options), torch.device(device))
    assert (first.folded_norms, first.fast_depthwise) == (folded, fast_depthwise)


def test_step_timing_of_a_real_step(tiny: Path) -> None:
    threads = torch.get_num_threads()
    timing = time_training_step(recipe_of(tiny), 3, ComputeConfig("float32", True, False, 1), CPU)
    assert timing is not None
    assert 0 < timing.seconds < 60
    assert timing.starting > 0
    assert torch.get_num_threads() == threads


@pytest.mark.slow
def test_run_keeps_its_compute_config(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[0], quiet=True)
    file = run.file("compute.json")
    decision = json.loads(file.read_text())["cpu"]
    assert decision["torch"] == torch.__version__
    assert decision["trial"]
    assert {"precision", "channels_last", "compiled", "threads"} <= decision.keys()

    changed = {**decision, "precision": "float32", "channels_last": False}
    file.write_text(json.dumps({"cpu": changed}))
    monkeypatch.setattr(autotune, "choose_config", lambda *_: pytest.fail("chosen again"))
    config = autotune_compute(run, MANY_IMAGES, 3, Display(quiet=True))
    names = [field.name for field in fields(ComputeConfig)]
    assert config == ComputeConfig(**{name: changed[name] for name in names})

    file.write_text(json.dumps({"cpu": {"precision": "bf16"}}))
    with pytest.raises(RunError, match=r"compute\.json: is not what bestiary writes"):
        autotune_compute(Run(run.path), MANY_IMAGES, 3, Display(quiet=True))
