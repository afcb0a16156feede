"""What fine-tuning has changed: counted against the answers of the head before it."""

import shutil
from pathlib import Path

import pytest

import bestiary
from bestiary.evaluation.fine_tuning import changed_answers, unchanged_line
from bestiary.model.backbone import weights_are_local
from bestiary.run.run import Run

pytestmark = pytest.mark.skipif(
    not weights_are_local("offline/efficientnet_lite0"), reason="no offline weights"
)
OPTIONS = [
    "view.size=32",
    "predict.tta=1",
    "train.epochs=1",
    "train.threads=1",
    "view.eval_scale=1",
]


@pytest.mark.slow
def test_training_that_changes_nothing_says_so(
    beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = [*OPTIONS, "optimizer.lr=1e-12", "train.precision=float32"]
    run = bestiary.train(beasts, tmp_path / "idle", folds=2, overrides=options, quiet=True)
    assert changed_answers(run) == (0, 27)
    assert "changed none of 27 held-out answers" in capsys.readouterr().err
    # Another answer before training: then the line is not true, and is not said.
    copy = Run(Path(shutil.copytree(run.path, tmp_path / "copy")))
    for fold in (0, 1):
        shutil.copy(run.fold(1 - fold).start, copy.fold(fold).start)
    assert changed_answers(copy) is None, "no image in common"
    assert unchanged_line(copy) is None


def test_heads_alone_are_no_fine_tuning(beasts: Path, tmp_path: Path) -> None:
    options = ["view.size=32", "predict.tta=1"]
    run = bestiary.probe(beasts, tmp_path / "run", folds=2, overrides=options, quiet=True)
    assert changed_answers(run) is None
