"""Advice: what fits, what is as good and cheaper, and a command that does what was recommended."""

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import bestiary
from bestiary.advising.advice import Candidate, recommend
from bestiary.advising.speeds import TrainSpeed
from bestiary.api.durations import parse_duration
from bestiary.errors import WeightsError
from bestiary.model.backbone import weights_are_here
from bestiary.recipe.load import load_recipe
from bestiary.training import frozen_features as features

GROUPS = np.arange(500)


def candidate(name: str, step: float, right: int | None, single: float = 0.01) -> Candidate:
    """Of 500 images, the head has the first `right` right."""
    recipe = load_recipe(
        "fast", [f"model.backbone={name}", "folds.n=5", "train.epochs=4", "predict.tta=2"]
    )
    return Candidate(
        recipe, TrainSpeed(step, single, 0.001), 0.002, None if right is None else right > GROUPS
    )


def test_the_most_accurate_is_taken_and_of_equals_the_fastest() -> None:
    slow, quick, poor = (
        candidate("a", 0.1, 480),
        candidate("b", 0.01, 478),
        candidate("c", 0.001, 400),
    )
    chosen = recommend([slow, quick, poor], 1000, GROUPS, None, None)
    assert chosen and chosen.recipe.model.backbone == "b"  # two images of 500 show nothing
    better = candidate("b", 0.01, 440)
    chosen = recommend([slow, better, poor], 1000, GROUPS, None, None)
    assert chosen and chosen.recipe.model.backbone == "a"


def test_epochs_are_cut_to_the_budget_and_views_to_the_latency() -> None:
    slow = candidate("a", 0.1, 480)
    # 1,000 images, 4/5 of them in each of 5 folds: 400 s an epoch; features and scores 4 s each.
    assert slow.seconds(1000, 1) == pytest.approx(4 * 1000 * 0.1 + 3 * 1000 * 0.004)
    assert slow.seconds(1000, 0) == pytest.approx(1000 * 0.004)
    chosen = recommend([slow], 1000, GROUPS, 1000.0, None)
    assert chosen and chosen.recipe.train.epochs == 2 and chosen.seconds(1000, 2) <= 1000
    chosen = recommend([slow], 1000, GROUPS, 60.0, None)
    assert chosen and chosen.recipe.train.epochs == 0  # the head alone
    assert recommend([slow], 1000, GROUPS, 1.0, None) is None
    assert slow.latency == pytest.approx(5 * 2 * 0.01)
    chosen = recommend([slow], 1000, GROUPS, None, 0.06)
    assert chosen and chosen.recipe.predict.tta == 1
    assert recommend([slow], 1000, GROUPS, None, 0.04) is None


def test_without_weights_nothing_is_recommended() -> None:
    assert recommend([candidate("a", 0.1, None)], 1000, GROUPS, None, None) is None


def test_weights_are_looked_for_and_not_fetched(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    assert weights_are_here("offline/efficientnet_lite0")
    assert not weights_are_here("torchvision/resnet18")
    assert not weights_are_here("timm/resnest50d")
    file = tmp_path / "hub" / "checkpoints" / "resnet18-f37072fd.pth"
    file.parent.mkdir(parents=True)
    file.touch()
    assert weights_are_here("torchvision/resnet18")
    with pytest.raises(WeightsError, match="did you mean"):
        weights_are_here("torchvision/resnet19")


def test_what_is_advised_can_be_pasted(
    beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    names = [
        "offline/efficientnet_lite0@32",
        "offline/efficientnet_lite0@64",
        "torchvision/shufflenet_v2_x0_5@32",
    ]
    # whose heads see what those of `probe` see
    options = {
        "recipe": "best",
        "backbones": names,
        "overrides": ["folds.n=3", "predict.tta=1"],
        "quiet": True,
    }
    advice = bestiary.advise(beasts, budget="2h", latency="10s", **options)
    assert advice.exit_code == 0
    text = str(advice)
    assert max(map(len, text.splitlines())) <= 80 + len(str(beasts))
    assert len(re.findall(r"unknown +no weights", text)) == 1
    command = shlex.split(text[text.index("bestiary train") :].replace("\\\n", ""))
    assert command[:4] == ["bestiary", "train", str(beasts), "RUN"]
    asked = load_recipe(command[5], command[7:])
    assert advice.chosen and asked == advice.chosen.recipe

    probed = bestiary.probe(
        beasts,
        tmp_path / "run",
        overrides=["view.size=32", "folds.n=3", "predict.tta=1"],
        quiet=True,
    )
    right = advice.candidates[0].hits
    assert right is not None
    assert right.mean() == pytest.approx(
        probed.read_json("metrics.json")["oof"]["accuracy"]["value"]
    )

    monkeypatch.setattr(
        features, "predict_rows", lambda *_, **__: pytest.fail("features were kept")
    )
    assert "Nothing fits" in str(bestiary.advise(beasts, budget="1ms", **options))


def test_durations_are_checked_first(beasts: Path, fails: Callable[..., str]) -> None:
    assert "--budget soon: is not a duration" in fails("advise", beasts, "--budget", "soon")
    assert "--latency 5: is not a duration" in fails("advise", beasts, "--latency", "5")
    assert "did you mean" in fails("advise", beasts, "--backbones", "torchvision/resnet19")
    assert "view.size = 4" in fails("advise", beasts, "--backbones", "torchvision/resnet18@4")
    assert parse_duration("50ms") == pytest.approx(0.05)
