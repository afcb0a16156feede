"""What `predict` says: each answer of few images, and of many how many are sure."""

from pathlib import Path

import polars as pl
import pytest

import bestiary
from bestiary.cli import main
from bestiary.ensemble import predictions
from bestiary.ensemble.shown_answers import MAX_SHOWN, shown_answers
from bestiary.run.run import Run

ROW = {
    "path": "a.jpg",
    "label": "cat",
    "confidence": 0.9312,
    "label_2": "dog",
    "confidence_2": 0.04,
    "accepted": True,
    "unknown": False,
    "error": None,
}


def lines(*rows: dict[str, object]) -> list[str]:
    """The lines of a table, with plain spaces."""
    table = pl.DataFrame([ROW | row for row in rows], infer_schema_length=None)
    return [line.replace("\xa0", " ") for line in shown_answers(table)]


def test_one_image_is_answered_in_full() -> None:
    assert lines({}) == ["  a.jpg  cat 93.1 %, sure", "         next: dog 4.0 %"]


def test_answers_say_how_sure_they_are() -> None:
    shown = lines(
        {"accepted": False},
        {"path": "b.jpg", "unknown": True},
        {"path": "c.jpg", "error": "is no image"},
        {"path": "d.jpg", "label": "empty", "confidence": None},
    )
    assert shown == [
        "  a.jpg  cat 93.1 %, not sure",
        "  b.jpg  unknown (nearest: cat)",
        "  c.jpg  cannot be read: is no image",
        "  d.jpg  empty",
    ]


def test_first_of_many_are_shown() -> None:
    shown = lines(*[{"path": f"{'x' * 60}{number}.jpg"} for number in range(14)])
    assert len(shown) == MAX_SHOWN + 1
    assert shown[-1] == "  and 4 more"
    assert max(map(len, shown)) <= 80


@pytest.mark.slow
def test_predict_without_a_table(
    trained: Run,
    beasts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    fails,
) -> None:  # type: ignore[no-untyped-def]
    monkeypatch.chdir(tmp_path)
    image = next(beasts.rglob("*.jpg"))
    assert main(["predict", str(trained.path), str(image), "-q"]) == 0
    printed = capsys.readouterr().out.replace("\xa0", " ").splitlines()
    assert printed[0] == "1 image predicted"
    assert image.name in printed[1]
    assert printed[-1] == "Not saved: --out FILE.csv keeps every column"
    result = bestiary.predict(trained.path, beasts, quiet=True)
    assert result.table.height == 27
    text = str(result).replace("\xa0", " ").splitlines()
    assert sum(int(word) for word in text[1].split() if word.isdigit()) == 27
    assert text[2].startswith("Most often: ")
    assert list(tmp_path.iterdir()) == []
    assert "needs a table" in fails("predict", trained.path, beasts, "--watch")
    monkeypatch.setattr(predictions, "MAX_UNKEPT", 5)
    assert "27 images: their answers" in fails("predict", trained.path, beasts, "-q")
    (tmp_path / "p.csv").write_text("mine")
    line = fails("predict", trained.path, beasts, "--out", "p.csv")
    assert "exists, and predictions are never overwritten" in line
    assert (tmp_path / "p.csv").read_text() == "mine"
