"""The batch of a new run on a GPU: timed here by a pretended card."""

import math
from pathlib import Path
from typing import Any

import pytest
import torch

import bestiary
from bestiary.display import Display
from bestiary.errors import ArgumentError
from bestiary.model.compute import ComputeConfig
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe
from bestiary.run.run import Run
from bestiary.training import batch_growth
from bestiary.training.batch_growth import grow_batch, grown_like
from bestiary.training.step_timing import StepTiming

Speeds = dict[tuple[int, bool], float]
"""Images of a batch, by CUDA graphs -> seconds an image."""


@pytest.fixture
def card(monkeypatch: pytest.MonkeyPatch) -> Speeds:
    """A GPU with these speeds; what is not among them cannot run."""
    speeds: Speeds = {}

    def time_step(
        recipe: Recipe, classes: int, config: ComputeConfig, device: torch.device
    ) -> StepTiming | None:
        seconds = speeds.get((recipe.train.batch_size, config.cuda_graphs))
        return StepTiming(seconds, 0.0) if seconds else None

    monkeypatch.setattr(batch_growth, "best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(batch_growth, "candidates", lambda recipe, device: [_plain()])
    monkeypatch.setattr(batch_growth, "time_training_step", time_step)
    return speeds


def _plain() -> ComputeConfig:
    return ComputeConfig("bf16", channels_last=True, compiled=False, threads=1)


def grown(*overrides: str, recipe: str = "best-gpu") -> Recipe:
    return grow_batch(load_recipe(recipe, overrides), overrides, Display(quiet=True))


def test_a_batch_grows_while_it_pays(card: Speeds) -> None:
    card |= {(32, False): 1.0, (64, False): 0.8, (128, False): 0.75}
    taken = grown()
    assert (taken.train.batch_size, taken.train.batch_growth) == (64, 1)
    assert taken.optimizer.lr == pytest.approx(math.sqrt(2) * load_recipe("best-gpu").optimizer.lr)
    card[128, False] = 0.7
    assert grown().train.batch_size == 128
    card[256, False] = 0.1
    assert grown().train.batch_size == 128, "not beyond what the recipe allows"


def test_graphs_make_a_small_batch_enough(card: Speeds) -> None:
    card |= {(32, False): 1.0, (32, True): 0.5, (64, False): 0.6, (64, True): 0.48}
    assert grown() == load_recipe("best-gpu", ["train.batch_growth=1"])


def test_a_batch_that_cannot_run_is_not_taken(card: Speeds) -> None:
    card |= {(32, False): 1.0}
    assert grown().train.batch_size == 32


@pytest.mark.parametrize(
    ("recipe", "overrides"),
    [
        ("best-gpu", ["train.batch_size=16"]),
        ("best-gpu", ["train.batch_growth=1"]),
        ("best-gpu", ["train.epochs=0"]),
        ("paper", []),
    ],
)
def test_a_named_batch_stays(card: Speeds, recipe: str, overrides: list[str]) -> None:
    card |= {(size, False): 1 / size for size in (16, 32, 64, 128)}
    before = load_recipe(recipe, overrides)
    assert grown(*overrides, recipe=recipe) == before.with_values({"train.batch_growth": 1})


def test_a_cpu_keeps_the_batch() -> None:
    assert grown() == load_recipe("best-gpu", ["train.batch_growth=1"])


def test_a_run_goes_on_with_its_batch(
    card: Speeds, beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    settings: dict[str, Any] = {
        "recipe": tiny,
        "overrides": ["train.batch_growth=2", "train.epochs=1"],
        "folds": 2,
        "quiet": True,
    }
    batch = load_recipe(tiny).train.batch_size
    card |= {(batch, False): 1.0, (2 * batch, False): 0.5}
    run = bestiary.train(beasts, tmp_path / "run", only_fold=[0], **settings)
    taken = Run(run.path).read_recipe()
    assert (taken.train.batch_size, taken.train.batch_growth) == (2 * batch, 1)

    # The same words go on, whatever the card would choose now.
    card[2 * batch, False] = 2.0
    bestiary.train(beasts, tmp_path / "run", resume=True, **settings)
    assert Run(run.path).read_recipe() == taken
    with pytest.raises(ArgumentError, match="was begun with another value"):
        bestiary.train(
            beasts,
            tmp_path / "run",
            resume=True,
            **settings | {"overrides": ["train.batch_size=3"]},
        )


def test_another_batch_is_not_like_a_run(card: Speeds) -> None:
    recipe = load_recipe("best-gpu")
    begun = recipe.with_values({"train.batch_size": 48, "train.batch_growth": 1})
    assert grown_like(recipe, begun) == recipe
