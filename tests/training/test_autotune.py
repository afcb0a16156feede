"""The trial that chooses the arithmetic: what may be chosen, what it may cost, what is
remembered and recorded.
"""

import json
from pathlib import Path

import pytest
import torch

import bestiary
from bestiary.display import Display
from bestiary.errors import RunError
from bestiary.model.compute import ComputeConfig
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.run.run import Run
from bestiary.training import autotune as trial
from bestiary.training.autotune import (
    Timing,
    autotune_compute,
    candidates,
    decide,
    fastest,
    time_training_step,
)

CPU = torch.device("cpu")
LONG = 10**9  # images


@pytest.fixture
def speeds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> dict[tuple[str, bool, bool], float]:
    """Seconds an image that trials find; compiling takes 100 s. A key that is missing cannot be
    computed.
    """
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(
        trial, "resolve_precision", lambda asked, device: "bf16" if asked == "auto" else asked
    )
    found: dict[tuple[str, bool, bool], float] = {}
    measured.clear()

    def measure(
        recipe: Recipe, classes: int, way: ComputeConfig, device: torch.device
    ) -> Timing | None:
        measured.append(way)
        seconds = found.get((way.precision, way.channels_last, way.compiled))
        return None if seconds is None else Timing(seconds, 100.0 if way.compiled else seconds)

    monkeypatch.setattr(trial, "measure_step", measure)
    return found


measured: list[ComputeConfig] = []


def recipe_of(tiny: Path, *overrides: str) -> Recipe:
    return load_recipe(tiny, [f"train.threads={torch.get_num_threads()}", *overrides])


def test_the_recipe_s_own_choice_is_not_tried(tiny: Path, speeds: dict) -> None:
    recipe = recipe_of(
        tiny, "train.precision=float32", "train.layout=contiguous", "train.compile=never"
    )
    assert decide(recipe, LONG, 3, CPU) == (
        ComputeConfig("float32", False, False, torch.get_num_threads()),
        {},
    )
    assert not measured


@pytest.mark.parametrize(
    "quickest", [("bf16", True), ("bf16", False), ("float32", True), ("float32", False)]
)
def test_the_fastest_way_is_taken(tiny: Path, speeds: dict, quickest: tuple[str, bool]) -> None:
    speeds.update({(p, c, False): 0.01 for p in ("bf16", "float32") for c in (True, False)})
    speeds[(*quickest, False)] = 0.005
    chosen, timings = decide(recipe_of(tiny, "train.compile=never"), LONG, 3, CPU)
    assert (chosen.precision, chosen.channels_last) == quickest
    assert len(timings) == 4


def test_noise_does_not_choose() -> None:
    first, second = ComputeConfig("bf16", True), ComputeConfig("bf16", False)
    assert fastest([first, second], {first: Timing(1.0, 1.0), second: Timing(0.96, 1.0)}) == first
    assert fastest([first, second], {first: Timing(1.0, 1.0), second: Timing(0.94, 1.0)}) == second


def test_a_short_training_is_not_delayed_by_trials(tiny: Path, speeds: dict) -> None:
    speeds.update({("bf16", True, False): 0.01, ("bf16", False, False): 0.001})
    chosen, _ = decide(recipe_of(tiny), 100, 3, CPU)  # a second of training
    assert measured == [chosen] == [ComputeConfig("bf16", True, False, torch.get_num_threads())]


def test_compiling_is_tried_and_taken_only_where_it_pays(tiny: Path, speeds: dict) -> None:
    speeds.update(
        {("bf16", True, False): 0.01, ("bf16", False, False): 0.02, ("bf16", True, True): 0.005}
    )
    speeds.update({("float32", True, False): 0.05, ("float32", False, False): 0.05})
    assert not decide(recipe_of(tiny), 100_000, 3, CPU)[0].compiled  # a thousand seconds: not tried
    assert not any(way.compiled for way in measured)
    assert decide(recipe_of(tiny), LONG, 3, CPU)[0].compiled
    assert not decide(recipe_of(tiny), 15_000, 3, CPU)[
        0
    ].compiled  # known by now, but would not be won back
    assert sum(way.compiled for way in measured) == 1


def test_a_way_that_cannot_be_computed_is_not_taken(tiny: Path, speeds: dict) -> None:
    speeds.update({(p, c, False): 0.01 for p in ("bf16", "float32") for c in (True, False)})
    chosen, timings = decide(recipe_of(tiny), LONG, 3, CPU)
    assert any(way.compiled for way in measured)
    assert not chosen.compiled and not any(way.compiled for way in timings)


def test_what_was_measured_is_remembered_for_this_machine(tiny: Path, speeds: dict) -> None:
    speeds.update({(p, c, False): 0.01 for p in ("bf16", "float32") for c in (True, False)})
    first = decide(recipe_of(tiny, "train.compile=never"), LONG, 3, CPU)
    count = len(measured)
    assert decide(recipe_of(tiny, "train.compile=never"), LONG, 3, CPU) == first
    assert len(measured) == count == 4
    decide(recipe_of(tiny, "train.compile=never", "view.size=48"), LONG, 3, CPU)
    assert len(measured) == 8
    trial._Memory(recipe_of(tiny), CPU).file.write_text("[1]")
    assert decide(recipe_of(tiny, "train.compile=never"), LONG, 3, CPU)[0] == first[0]


def test_only_what_is_open_is_a_candidate(tiny: Path) -> None:
    recipe = recipe_of(tiny, "train.precision=float32", "train.compile=always", "train.threads=3")
    assert candidates(recipe.train, CPU) == [
        ComputeConfig("float32", c, True, 3) for c in (True, False)
    ]
    gpu = candidates(recipe_of(tiny, "train.precision=fp16").train, torch.device("cuda"))
    assert {way.precision for way in gpu} == {"fp16"}


def test_a_step_is_really_made(tiny: Path) -> None:
    threads = torch.get_num_threads()
    timing = time_training_step(recipe_of(tiny), 3, ComputeConfig("float32", True, False, 1), CPU)
    assert timing is not None and 0 < timing.seconds < 60 and timing.starting > 0
    assert torch.get_num_threads() == threads


def test_the_run_keeps_the_decision_and_goes_by_it(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = bestiary.train(beasts, tmp_path / "run", recipe=tiny, folds=3, only_fold=[0], quiet=True)
    kept = json.loads(run.file("compute.json").read_text())["cpu"]
    assert kept["torch"] == torch.__version__ and kept["trial"]
    assert {"precision", "channels_last", "compiled", "threads"} <= kept.keys()
    changed = {**kept, "precision": "float32", "channels_last": False}
    run.file("compute.json").write_text(json.dumps({"cpu": changed}))
    monkeypatch.setattr(trial, "decide", lambda *_: pytest.fail("decided again"))
    again = autotune_compute(run, LONG, 3, Display(quiet=True))
    assert again == ComputeConfig("float32", False, kept["compiled"], kept["threads"])
    run.file("compute.json").write_text(json.dumps({"cpu": {"precision": "bf16"}}))
    with pytest.raises(RunError, match=r"arithmetic\.json: is not of bestiary's making"):
        autotune_compute(Run(run.path), LONG, 3, Display(quiet=True))
