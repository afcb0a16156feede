"""New images are listed as those of the run: how sure the detector must be of a box."""

from types import SimpleNamespace
from typing import Any

import pytest

from bestiary.api.trained_listing import trained_listing
from bestiary.display import Display
from bestiary.recipe.load import load_recipe

BOXES = "data.boxes=found.json"


def listed(
    confidence: float, overrides: list[str], images: str, capsys: pytest.CaptureFixture[str]
) -> tuple[float, str]:
    recipe = load_recipe("probe", [f"data.box_confidence={confidence}"])
    run: Any = SimpleNamespace(read_recipe=lambda: recipe)
    options = trained_listing(run, [images], overrides, Display(quiet=True))
    return options.box_confidence, " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(("overrides", "images"), [([BOXES], "new"), ([], "found.json")])
def test_confidence_of_the_run(
    overrides: list[str], images: str, capsys: pytest.CaptureFixture[str]
) -> None:
    confidence, told = listed(0.5, overrides, images, capsys)
    assert confidence == 0.5
    assert "those of confidence 0.5 or more, as in this run's training" in told


def test_own_confidence_wins(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(0.5, [BOXES, "data.box_confidence=0.2"], "new", capsys) == (0.2, "")


def test_nothing_is_said_without_boxes(capsys: pytest.CaptureFixture[str]) -> None:
    assert listed(0.5, [], "new", capsys) == (0.5, "")
    assert listed(0.2, [BOXES], "new", capsys) == (0.2, "")
