"""Request for training: the recipe that the device sets, and runs of an earlier bestiary."""

from pathlib import Path
from typing import Any

import pytest
import torch

import bestiary
from bestiary.display import Display
from bestiary.errors import ArgumentError, RunError, WeightsError
from bestiary.run.layout import RECIPE
from bestiary.run.run import Run
from bestiary.training import request, variants


class FoundError(Exception):
    """Stops a verb where the test has seen enough."""


@pytest.mark.parametrize(
    ("device", "name"), [("cuda", "best-gpu"), ("mps", "best"), ("cpu", "best")]
)
def test_device_sets_the_default_recipe(
    device: str, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []

    def record(recipe: str, *_: Any) -> None:
        asked.append(recipe)
        raise FoundError

    monkeypatch.setattr(request, "best_device", lambda: torch.device(device))
    monkeypatch.setattr(request, "load_recipe", record)
    with pytest.raises(FoundError):
        bestiary.train(tmp_path, tmp_path / "run", quiet=True)
    monkeypatch.setattr(variants, "plan_variants", record)
    with pytest.raises(FoundError):
        bestiary.ablate(tmp_path, tmp_path / "ablation", vary=["train.epochs=1,2"], quiet=True)
    assert asked == [name, name]


@pytest.mark.parametrize(
    ("is_local", "answers", "can_fetch", "name"),
    [
        (True, False, False, "best-gpu"),
        (False, True, True, "best-gpu"),
        (False, True, False, "best"),
        (False, False, True, "best"),
    ],
)
def test_default_recipe_needs_its_weights(
    is_local: bool,
    answers: bool,
    can_fetch: bool,
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def fetch(_name: str, _classes: int) -> None:
        if not can_fetch:
            raise WeightsError("no connection")

    monkeypatch.setattr(request, "best_device", lambda: torch.device("cuda"))
    monkeypatch.setattr(request, "weights_are_local", lambda _name: is_local)
    monkeypatch.setattr(request, "hub_answers", lambda: answers)
    monkeypatch.setattr(request, "build_backbone", fetch)
    display = Display(quiet=True)
    assert request.choose_default_recipe([], display) == name
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == (name == "best"), "what is assumed is said, even when quiet"
    assert all("Recipe best instead of best-gpu" in line for line in lines)
    # Another network is the user's choice, and so is what it needs.
    assert request.choose_default_recipe(["model.backbone=timm/x"], display) == "best-gpu"


@pytest.mark.parametrize("verb", ["train", "ablate"])
def test_resuming_a_run_of_an_earlier_bestiary_names_the_remedy(verb: str, tmp_path: Path) -> None:
    """Before its recipe is read, which would name old keys one by one."""
    place = tmp_path / "run"
    run = Run(place if verb == "train" else place / "other" / "seed-0")
    run.path.mkdir(parents=True)
    run.file(RECIPE).write_text("[mix]\nuntil = 0.5\n")
    run.file("arithmetic.json").touch()
    with pytest.raises(RunError, match=r"by an earlier bestiary; .*; train it again, or use that"):
        if verb == "train":
            bestiary.train(tmp_path, place, resume=True, quiet=True)
        else:
            vary = ["train.epochs=1,2"]
            bestiary.ablate(tmp_path, place, vary=vary, resume=True, quiet=True)


def test_the_same_options_resume_a_run(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    """What a run has filled in by itself, such as the value of white, is no other value."""
    options = {"recipe": tiny, "quiet": True}
    run = bestiary.train(beasts, tmp_path / "run", folds=2, only_fold=[0], **options)
    assert run.read_recipe().view.white_level == 65535
    overrides = ["folds.n=2"]
    bestiary.train(beasts, run.path, overrides=overrides, resume=True, **options)
    with pytest.raises(ArgumentError, match=r"view\.white_level: .*another value"):
        bestiary.train(
            beasts,
            run.path,
            overrides=[*overrides, "view.white_level=4095"],
            resume=True,
            **options,
        )
