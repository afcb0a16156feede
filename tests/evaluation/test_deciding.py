"""Rules of a run: what is promised and decided in tables and cards, and which costs are refused."""

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.ensemble.answers import PredictionOptions, answer_batch
from bestiary.ensemble.batch_logits import BatchLogits
from bestiary.ensemble.decisions import Decisions
from bestiary.ensemble.ensemble import Ensemble
from bestiary.evaluation.cost_table import read_costs
from bestiary.evaluation.deciding import apply_decisions, describe_promises
from bestiary.exporting.card import build_card
from bestiary.run.run import Run
from bestiary.serving.schemas import Prediction
from bestiary.stats.calibration import NEVER
from bestiary.stats.class_promises import ClassPromises

CLASSES = ["lynx", "deer", "boar"]


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text)
    return file


def test_table_and_toml_say_the_same(tmp_path: Path) -> None:
    table = write(tmp_path, "c.csv", "label,answer,cost\nlynx,,20\n*,,2\nboar,deer,3\n")
    toml = write(tmp_path, "c.toml", '"*" = 2\nlynx = 20\nboar = {deer = 3}\n')
    expected = [[0, 20, 20], [2, 0, 2], [2, 3, 0]]
    assert read_costs(table, CLASSES).tolist() == expected
    assert read_costs(toml, CLASSES).tolist() == expected


def test_answer_column_may_lack(tmp_path: Path) -> None:
    file = write(tmp_path, "c.csv", "label;cost\nlynx;20\n")
    assert read_costs(file, CLASSES).tolist() == [[0, 20, 20], [1, 0, 1], [1, 1, 0]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("label,cost\nlinx,20\n", "did you mean 'lynx'?"),
        ("label,cost\nlynx,-1\n", "the cost of 'lynx' is '-1'"),
        ("label,cost\nlynx,nan\n", "give a number from 0 to"),
        ("label,cost\nlynx,dear\n", "is 'dear'"),
        ("label,cost\nlynx,1\nlynx,2\n", "names 'lynx' twice"),
        ("class,price\nlynx,1\n", "it needs label and cost"),
        ("label,cost\n", "names no cost"),
    ],
)
def test_wrong_costs_are_refused(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(bestiary.BestiaryError) as refusal:
        read_costs(write(tmp_path, "c.csv", text), CLASSES)
    assert message in str(refusal.value)


def test_wrong_toml_is_refused(tmp_path: Path) -> None:
    for text, message in (("lynx = [", "no readable TOML"), ("lynx = true", "is True")):
        with pytest.raises(bestiary.BestiaryError, match=message):
            read_costs(write(tmp_path, "c.toml", text), CLASSES)


def test_options_are_checked(
    trained: Run, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    command = ["predict", trained.path, beasts, "--out", tmp_path / "p.csv"]
    assert "--promise 1.5: give a share" in fails(*command, "--promise", "1.5")
    assert "no such file" in fails(*command, "--costs", tmp_path / "none.csv")
    assert "leave --tta out" in fails(*command, "--costs", "balanced", "--tta", "2")
    submission = ["--format", "submission"]
    assert "--promise: needs the full" in fails(*command, *submission, "--promise", "0.9")


def test_unknown_images_keep_no_promise() -> None:
    promises = ClassPromises(0.9, np.array([0.5, NEVER]), np.array([40, 3]), np.array([30, 0]))
    probabilities = np.array([[0.8, 0.2], [0.8, 0.2], [0.1, 0.9]])
    rows = Decisions(promises).columns(probabilities, np.array([False, True, False]), CLASSES)
    assert [row["promised"] for row in rows] == [True, False, False]
    assert "deer (3)" in describe_promises(promises, CLASSES)


def test_decisions_leave_answers_as_they_are(trained: Run, tmp_path: Path) -> None:
    ensemble = Ensemble.load(trained)
    logits = np.zeros((3, 2, 3), np.float32)
    logits[:, :, 1] = 0.1
    batch = BatchLogits(np.arange(2), logits, {}, [], None)
    options = PredictionOptions()
    (usual, _) = answer_batch(ensemble, batch, "logits", options)
    first = str(ensemble.classes_[0])
    costs = write(tmp_path, "c.csv", f"label,cost\n{first},50\n")
    notices = apply_decisions(trained, ensemble, 0.9, costs)
    (answer, _) = answer_batch(ensemble, batch, "logits", options)
    assert answer.top == usual.top
    assert usual.columns().items() <= answer.columns().items()
    assert answer.decided["decision"] == first != answer.top[0][0]
    assert answer.decided["promised"] is False
    assert Prediction.of("a.jpg", answer).decision == first
    assert "0 of 3" in notices[0].replace("\N{NO-BREAK SPACE}", " ")
    assert "27 images are decided otherwise" in notices[1].replace("\N{NO-BREAK SPACE}", " ")

    card = json.loads(json.dumps(build_card(trained, ensemble, ensemble.folds)))
    assert card["decisions"]["promised"]["thresholds"] == [NEVER] * 3
    assert card["decisions"]["costs"]["matrix"][0][1] == 50


def test_table_has_the_columns(trained: Run, beasts: Path, tmp_path: Path) -> None:
    images = beasts / sorted(path.name for path in beasts.iterdir() if path.is_dir())[0]
    result = bestiary.predict(
        trained.path, images, out=tmp_path / "p.csv", promise=0.9, costs="balanced", quiet=True
    )
    assert result.table["promised"].dtype == pl.Boolean
    assert set(result.table["decision"]) <= set(Ensemble.load(trained).classes_.tolist())
    assert result.table["expected_cost"].min() >= 0
