"""Split words: however they are written, and never a word that is part of another."""

import pytest

from bestiary.data.split_words import is_part_name, split_of_word, splits_of_folders


@pytest.mark.parametrize(
    ("word", "split"),
    [
        ("train", "train"),
        ("Training", "train"),
        ("TRAIN ", "train"),
        ("training_set", "train"),
        ("TrainSet", "train"),
        ("trainset", "train"),
        ("train2017", "train"),
        ("seg_train", "train"),
        ("Train-Images", "train"),
        ("train+val", "train"),
        ("\uff54\uff52\uff41\uff49\uff4e", "train"),
        ("val", "val"),
        ("valid", "val"),
        ("Validation", "val"),
        ("dev", "val"),
        ("test", "test"),
        ("testing", "test"),
        ("test ", "test"),
        ("holdout", "test"),
        ("hold-out", "test"),
        ("Held_Out", "test"),
        ("eval", "test"),
        ("seg_test", "test"),
        ("private", None),
        ("trainer", None),
        ("contest", None),
        ("tested", None),
        ("invalid", None),
        ("steam train", None),
        ("", None),
        ("0", None),
    ],
)
def test_split_of_word(word: str, split: str | None) -> None:
    assert split_of_word(word) == split


def test_words_that_all_folders_share_say_nothing() -> None:
    folders = ["flowers_102_train", "flowers_102_test", "flowers_102_val"]
    assert list(splits_of_folders(folders).values()) == ["train", "test", "val"]
    assert splits_of_folders(["train"]) == {"train": "train"}
    assert splits_of_folders(["train 1", "train 2"]) == {"train 1": "train", "train 2": "train"}
    assert splits_of_folders(["red car", "red train"]) == {"red car": None, "red train": "train"}


@pytest.mark.parametrize("name", ["fold_1", "Fold1", "fold-02", "batch 3", "kfold_5", "part.4"])
def test_part_names(name: str) -> None:
    assert is_part_name(name)


@pytest.mark.parametrize("name", ["1", "fold", "cat1", "part_a", "fold_1_cat", "twofold 1 x"])
def test_other_names_are_no_parts(name: str) -> None:
    assert not is_part_name(name)
