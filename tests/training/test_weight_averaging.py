"""EMA and WiSE-FT: the averages, and that the member of a fold is made of them."""

from pathlib import Path

import pytest
import torch

import bestiary
from bestiary.errors import RecipeError
from bestiary.model.classifier import build_classifier, load_member
from bestiary.recipe.load import load_recipe
from bestiary.training import loop
from bestiary.training.fold_job import FoldJob
from bestiary.training.state import FoldState
from bestiary.training.weight_averaging import ema_of


def test_ema_follows_weights_and_norms() -> None:
    classifier = build_classifier("timm/test_resnet", 3, "none")
    average = ema_of(classifier, 0.9)
    assert average is not None
    name = next(key for key in classifier.state_dict() if key.endswith("running_mean"))
    expected = classifier.state_dict()[name].clone()
    for step in range(1, 200):
        for value in classifier.state_dict().values():
            if value.is_floating_point():
                value.fill_(float(step))
        average.update(classifier, step)
        decay = min(0.9, 1 - 1 / (1 + (step - 1) / 10)) if step > 1 else 0.0
        expected = expected * decay + step * (1 - decay)
    torch.testing.assert_close(average.module.state_dict()[name], expected)
    assert ema_of(classifier, 0.0) is None


@pytest.mark.slow
def test_ema_is_the_member(
    beasts: Path, tiny: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    states: list[FoldState] = []
    predict_held_out = loop.predict_held_out

    def record_state(job: FoldJob, state: FoldState, *rest: object) -> None:
        states.append(state)
        predict_held_out(job, state, *rest)

    monkeypatch.setattr(loop, "predict_held_out", record_state)
    run = bestiary.train(
        beasts,
        tmp_path / "run",
        recipe=tiny,
        overrides=["train.ema=0.99", "train.keep_best=false"],
        folds=3,
        only_fold=[0],
        quiet=True,
    )
    (state,) = states
    assert state.average is not None
    key = f"network.{state.classifier.head}.weight"
    member = load_member(run.fold(0).weights).state_dict()
    torch.testing.assert_close(member[key], state.average.module.state_dict()[key])
    assert not torch.equal(member[key], state.classifier.state_dict()[key])


@pytest.mark.slow
def test_wise_ft_member_is_the_mean_with_the_start(
    beasts: Path, tiny: Path, tmp_path: Path
) -> None:
    options = [
        "model.backbone=timm/test_resnet",
        "train.keep_best=false",
        "train.threads=1",
        "train.precision=float32",
    ]
    members = {}
    for share in (0.0, 0.25):
        run = bestiary.train(
            beasts,
            tmp_path / f"run-{share}",
            recipe=tiny,
            overrides=[*options, f"train.wise_ft={share}"],
            folds=3,
            only_fold=[0],
            quiet=True,
        )
        members[share] = load_member(run.fold(0).weights).state_dict()
    start = load_member(run.fold(0).initial).state_dict()
    weight = "network.conv1.0.weight"
    assert not torch.equal(members[0.0][weight], start[weight])
    for name, tensor in members[0.25].items():
        if tensor.is_floating_point():
            torch.testing.assert_close(tensor, 0.25 * start[name] + 0.75 * members[0.0][name])


def test_wise_ft_needs_keep_best_false() -> None:
    message = r"train.wise_ft = 0.5: .* give train.keep_best=false too"
    with pytest.raises(RecipeError, match=message):
        load_recipe("paper", ["train.wise_ft=0.5"])
