"""ensemble.json: every value is validated, and an error names the run and the key."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from bestiary.ensemble.card import read_card
from bestiary.errors import RunError
from bestiary.run.run import Run


@pytest.fixture
def copy(trained: Run, tmp_path: Path) -> Run:
    """A copy of the trained run that a test may damage."""
    return Run(Path(shutil.copytree(trained.path, tmp_path / "copy")))


def change(run: Run, **values: Any) -> None:
    file = run.file("ensemble.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | values))


def test_card_of_a_finished_run(trained: Run) -> None:
    card = read_card(trained)
    assert card.classes == trained.read_classes()
    assert card.folds == [0, 1, 2]
    recipe = trained.read_recipe()
    assert (card.average, card.tta) == (recipe.predict.average, recipe.predict.tta)
    assert card.view.size == recipe.view.eval_side
    assert card.calibration is not None


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"classes": ["one"]}, "classes: "),
        ({"tta": 3}, "tta: "),
        ({"average": "median"}, "average: "),
        ({"precision": "int8"}, "precision: "),
        ({"members": []}, "members: "),
        ({"members": [{"fold": 100}]}, "members.0.fold: "),
        ({"view": {"size": 1 << 20}}, "view.size: "),
        ({"calibration": {"temperature": 1.0}}, "prediction_sets"),
        ({"calibration": None}, "TypeError"),
        ({"format": 99}, "has format 99, this bestiary reads 2; update bestiary"),
        ({"format": 1}, "has format 1, this bestiary reads 2; train it again"),
    ],
)
def test_card_refuses_wrong_value(copy: Run, values: dict[str, Any], words: str) -> None:
    change(copy, **values)
    with pytest.raises(RunError, match=r"ensemble\.json") as caught:
        read_card(copy)
    assert words in str(caught.value)


def test_card_refuses_calibration_of_other_classes(copy: Run) -> None:
    calibration = copy.read_json("ensemble.json")["calibration"]
    limits = {key: values[:2] for key, values in calibration["class_prediction_sets"].items()}
    change(copy, calibration=calibration | {"class_prediction_sets": limits})
    card = read_card(copy)
    with pytest.raises(RunError, match=r"calibration\.class_prediction_sets"):
        card.check_outputs([3, 3, 3])
