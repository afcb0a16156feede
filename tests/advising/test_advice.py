"""Advice: the recommended candidate, and a command that trains what was recommended."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bestiary
from bestiary.advising.advice import Candidate, recommend
from bestiary.advising.speeds import TrainSpeed
from bestiary.api.advise import BACKBONES
from bestiary.api.durations import parse_duration
from bestiary.errors import WeightsError
from bestiary.model.backbone import weights_are_local
from bestiary.recipe.load import load_recipe
from bestiary.training import frozen_features

IMAGES = 1000
GROUPS = np.arange(500)


def candidate(
    backbone: str, step_seconds: float, n_right: int | None, single: float = 0.01
) -> Candidate:
    """A candidate whose head predicts the first `n_right` of 500 images correctly."""
    overrides = [
        f"model.backbone={backbone}",
        "folds.n=5",
        "train.epochs=4",
        "predict.tta=2",
    ]
    hits = None if n_right is None else n_right > GROUPS
    speed = TrainSpeed(step_seconds, single, 0.001)
    return Candidate(load_recipe("fast", overrides), speed, 0.002, hits)


def recommended(
    *candidates: Candidate, budget: float | None = None, latency: float | None = None
) -> Candidate:
    choice = recommend(candidates, IMAGES, GROUPS, budget, latency)
    assert choice is not None
    return choice


def test_recommend_most_accurate_then_fastest() -> None:
    slow = candidate("a", 0.1, 480)
    fast = candidate("b", 0.01, 478)  # two images of 500 are no significant difference
    poor = candidate("c", 0.001, 400)
    assert recommended(slow, fast, poor).recipe.model.backbone == "b"
    worse = candidate("b", 0.01, 440)
    assert recommended(slow, worse, poor).recipe.model.backbone == "a"


def test_recommend_epochs_that_fit_the_budget() -> None:
    slow = candidate("a", 0.1, 480)
    # 4/5 of 1,000 images in each of 5 folds: 400 s an epoch. Features and evaluations: 4 s each.
    assert slow.training_seconds(IMAGES, 1) == pytest.approx(4 * 1000 * 0.1 + 3 * 1000 * 0.004)
    assert slow.training_seconds(IMAGES, 0) == pytest.approx(1000 * 0.004)
    choice = recommended(slow, budget=1000.0)
    assert choice.recipe.train.epochs == 2
    assert choice.training_seconds(IMAGES, 2) <= 1000
    assert recommended(slow, budget=60.0).recipe.train.epochs == 0  # the head only
    assert recommend([slow], IMAGES, GROUPS, 1.0, None) is None


def test_recommend_tta_that_fits_the_latency() -> None:
    slow = candidate("a", 0.1, 480)
    assert slow.latency == pytest.approx(5 * 2 * 0.01)
    assert recommended(slow, latency=0.06).recipe.predict.tta == 1
    assert recommend([slow], IMAGES, GROUPS, None, 0.04) is None


def test_recommend_nothing_without_weights() -> None:
    assert recommend([candidate("a", 0.1, None)], IMAGES, GROUPS, None, None) is None


def test_weights_are_not_downloaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights_are_local("offline/efficientnet_lite0")
    assert not weights_are_local("torchvision/resnet18")
    assert not weights_are_local("timm/resnest50d")
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert weights_are_local("torchvision/resnet18")
    with pytest.raises(WeightsError, match="did you mean"):
        weights_are_local("torchvision/resnet19")


def test_a_gpu_has_a_candidate_that_is_installed() -> None:
    backbones = [name.partition("@")[0] for name in BACKBONES["gpu"]]
    assert any(weights_are_local(name) for name in backbones if name.startswith("offline/"))
    assert "offline/efficientnet_lite0" in backbones, "the smallest, which train takes as well"


@pytest.mark.slow
def test_advised_command_can_be_pasted(
    beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    # The views of the heads are those of `probe`.
    overrides = ["folds.n=3", "predict.tta=1", "data.layout=class"]
    options = {
        "recipe": "best",
        "backbones": [
            "offline/efficientnet_lite0@32",
            "offline/efficientnet_lite0@64",
            "torchvision/shufflenet_v2_x0_5@32",
        ],
        "overrides": overrides,
        "quiet": True,
    }
    advice = bestiary.advise(beasts, budget="2h", latency="10s", **options)
    assert advice.exit_code == 0
    text = str(advice)
    assert max(map(len, text.splitlines())) <= 80 + len(str(beasts))
    assert len(re.findall(r"unknown +no weights", text)) == 1

    # The command trains the chosen recipe.
    command = shlex.split(text[text.index("bestiary train") :].replace("\\\n", ""))
    assert command[:4] == ["bestiary", "train", str(beasts), "RUN"]
    assert advice.chosen is not None
    assert load_recipe(command[5], command[7:]) == advice.chosen.recipe

    # The accuracy is that of a probe.
    run = bestiary.probe(
        beasts,
        tmp_path / "run",
        overrides=["view.size=32", *overrides],
        quiet=True,
    )
    accuracy = run.read_json("metrics.json")["oof"]["accuracy"]["value"]
    hits = advice.candidates[0].hits
    assert hits is not None
    assert hits.mean() == pytest.approx(accuracy)

    # Features are cached, and the budget may be too small.
    monkeypatch.setattr(
        frozen_features,
        "predict_rows",
        lambda *_, **__: pytest.fail("features were computed again"),
    )
    nothing = bestiary.advise(beasts, budget="1ms", **options)
    assert "Nothing fits" in str(nothing) and "(--folds 2)" in str(nothing)


def test_advise_checks_its_options_first(beasts: Path, fails: Callable[..., str]) -> None:
    assert "--budget soon: is not a duration" in fails("advise", beasts, "--budget", "soon")
    assert "--latency 5: is not a duration" in fails("advise", beasts, "--latency", "5")
    assert "did you mean" in fails("advise", beasts, "--backbones", "torchvision/resnet19")
    assert "view.size = 4" in fails("advise", beasts, "--backbones", "torchvision/resnet18@4")
    assert parse_duration("50ms", "--latency", ["50ms"]) == pytest.approx(0.05)
