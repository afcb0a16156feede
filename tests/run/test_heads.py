"""The record of a chosen head: written, read, refused and put into words."""

from pathlib import Path

import pytest

from bestiary.errors import DamagedError
from bestiary.run.heads import HeadChoice, heads_text, read_head, write_head
from bestiary.run.layout import FoldFiles


def folds_with(path: Path, *kinds: str) -> list[FoldFiles]:
    folds = []
    for number, kind in enumerate(kinds):
        files = FoldFiles(path / f"fold-{number}")
        losses = {"lda": 0.5, "nearest_mean": 0.75, "logistic": 0.25}
        write_head(
            files, HeadChoice.model_validate({"kind": kind, "images": 8, "log_loss": losses})
        )
        folds.append(files)
    return folds


def text_of(folds: list[FoldFiles]) -> str:
    return heads_text([choice for choice in map(read_head, folds) if choice is not None])


def test_head_is_read_as_written(tmp_path: Path) -> None:
    (files,) = folds_with(tmp_path, "logistic")
    choice = read_head(files)
    assert choice is not None
    assert (choice.kind, choice.images, choice.log_loss["logistic"]) == ("logistic", 8, 0.25)


def test_no_choice_says_nothing(tmp_path: Path) -> None:
    files = FoldFiles(tmp_path / "fold-0")
    assert read_head(files) is None
    assert text_of([files]) == ""


def test_heads_text_counts_folds(tmp_path: Path) -> None:
    text = text_of(folds_with(tmp_path, "lda", "logistic", "lda"))
    assert "linear discriminant in 2 of 3 folds, logistic regression in 1 of 3 folds" in text


def test_heads_text_says_if_nothing_was_tried(tmp_path: Path) -> None:
    files = FoldFiles(tmp_path / "fold-0")
    write_head(files, HeadChoice(kind="lda", images=5000))
    assert "no other was tried" in text_of([files])


@pytest.mark.parametrize(
    "content",
    [
        "[]",
        '{"kind": "tree", "images": 3}',
        '{"kind": "lda", "images": -3}',
        '{"kind": "lda", "images": 3, "log_loss": {"lda": "low"}}',
        '{"kind": "lda", "images": 3, "log_loss": {"\\u001b[2J": 1.0}}',
        '{"kind": "lda", "images": 3, "accuracy": {"lda": 2.0}}',
    ],
)
def test_foreign_head_is_refused(tmp_path: Path, content: str) -> None:
    files = FoldFiles(tmp_path / "fold-0")
    files.folder.mkdir()
    files.head.write_text(content)
    with pytest.raises(DamagedError, match=r"head\.json"):
        read_head(files)
