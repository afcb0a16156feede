"""history.csv and head.json have no checksum: those of another run are refused, by name."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

import bestiary
from bestiary.cli import main
from bestiary.errors import DamagedError
from bestiary.evaluation.results import read_results
from bestiary.recipe.load import load_recipe
from bestiary.reporting.cost_table import cost_rows
from bestiary.reporting.sections import accuracy_text
from bestiary.run.heads import HeadChoice, heads_of_run, write_head
from bestiary.run.run import Run


@pytest.fixture
def copied(trained: Run, tmp_path: Path) -> bestiary.Run:
    """A copy of a run of three folds and two epochs."""
    return bestiary.Run.open(shutil.copytree(trained.path, tmp_path / "run"))


def longer(text: str) -> str:
    last = text.splitlines()[-1]
    return f"{text}3{last[1:]}\n"


def reversed_rows(text: str) -> str:
    head, *rows = text.splitlines()
    return "\n".join([head, *reversed(rows), ""])


def without_last(text: str) -> str:
    return "\n".join([*text.splitlines()[:-1], ""])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (longer, "it has 3 epochs, and the recipe trains 2"),
        (without_last, "it has 1 epoch, and the recipe trains 2"),
        (reversed_rows, "its epochs are not 1, 2 and so on"),
        (lambda text: text.replace("\n2,", "\n1,"), "its epochs are not 1, 2 and so on"),
        (lambda text: text[: len(text) // 2], "cannot be read"),
        (lambda text: text.replace("epoch", "step", 1), "cannot be read"),
    ],
)
def test_history_of_another_run_is_refused(
    copied: bestiary.Run,
    change: Callable[[str], str],
    reason: str,
    fails: Callable[..., str],
) -> None:
    file = copied.fold(1).history
    file.write_text(change(file.read_text()))
    line = fails("show", copied.path)
    assert str(file) in line and reason in line
    for read in (lambda: copied.history, copied.results):
        with pytest.raises(DamagedError, match=r"fold-1.history\.csv"):
            read()


def test_history_is_not_needed(
    copied: bestiary.Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What the error says to do works, and what is missing is told where sums and states are."""
    copied.fold(1).history.unlink()
    copied.fold(2).costs.unlink()
    assert main(["show", str(copied.path)]) == 0
    shown = capsys.readouterr().out
    assert "fold 1: ended, its history is missing" in shown and "0 of 2 epochs" not in shown
    assert [fold["epochs"] for fold in bestiary.show(copied.path).document()["folds"]] == [
        2,
        None,
        2,
    ]
    assert copied.history["fold"].unique().to_list() == [0, 2]
    rows = dict(cost_rows(read_results(copied)))
    assert "Epochs, 2 of 3 folds, the rest unknown" in rows
    assert "Training time, 2 of 3 folds, the rest unknown" in rows
    page = tmp_path / "page.html"
    bestiary.report(copied.path, data=beasts, out=page, no_saliency=True, quiet=True)
    assert "2 of 3 folds, the rest unknown" in page.read_text()


def test_optimism_of_folds_with_a_history(copied: bestiary.Run) -> None:
    """A fold without its history does not make the optimism of picking epochs look like none."""
    texts = []
    for fold in range(3):
        results = read_results(copied)  # Run.results() keeps what it has read
        snapshot = replace(results.snapshot, recipe=load_recipe("paper"))
        texts.append(accuracy_text(replace(results, snapshot=snapshot)))
        copied.fold(fold).history.unlink()
    assert "by at most about" in texts[0] and "by at most about" in texts[1]
    assert "by an unknown amount" in texts[2]


def test_history_of_a_fold_in_training(copied: bestiary.Run) -> None:
    file = copied.fold(1).history
    file.write_text(without_last(file.read_text()))
    copied.fold(1).oof.unlink()
    assert copied.history.filter(fold=1).height == 1


def test_head_of_another_run_is_refused(copied: bestiary.Run, fails: Callable[..., str]) -> None:
    write_head(copied.fold(0), HeadChoice(kind="lda", images=18))
    line = fails("show", copied.path)
    assert "head.json: is not what bestiary writes (the recipe fits no head); it is" in line
    copied.fold(0).head.unlink()
    assert main(["show", str(copied.path)]) == 0


def test_head_of_another_number_of_images(copied: bestiary.Run) -> None:
    snapshot = replace(copied.load(), recipe=load_recipe("probe"))
    for fold in snapshot.folds:
        write_head(copied.fold(fold), HeadChoice(kind="lda", images=18))
    assert "linear discriminant in 3 of 3 folds" in heads_of_run(snapshot)
    write_head(copied.fold(2), HeadChoice(kind="lda", images=900))
    with pytest.raises(DamagedError, match="it is of 900 images, and the fold trained on 18"):
        heads_of_run(snapshot)
