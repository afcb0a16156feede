"""Layouts of folders: what is taken for what, what is refused, and the option that chooses."""

import shlex
import unicodedata
from pathlib import Path

import pytest

from bestiary.data.folder_layout import label_paths
from bestiary.data.listing import list_dataset, list_labeled
from bestiary.errors import DataError
from bestiary.recipe.choices import Layout
from bestiary.recipe.load import load_data_options


def paths_of(*folders: str) -> list[str]:
    """Two images in each folder."""
    return sorted(f"{folder}/{number}.jpg" for folder in folders for number in (1, 2))


def read(*folders: str, layout: Layout = "auto") -> dict[str, tuple[str | None, str | None]]:
    """Label and split of each folder."""
    labeled = label_paths("DATA", paths_of(*folders), layout)
    return {path.rpartition("/")[0]: (label, split) for path, label, _, split in labeled.rows}


def refusal(*folders: str) -> str:
    with pytest.raises(DataError) as caught:
        label_paths("DATA", paths_of(*folders))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    ("train", "test"),
    [
        ("train", "test"),
        ("Training", "Testing"),
        ("Train", "Test"),
        ("TRAIN", "TEST"),
        ("seg_train", "seg_test"),
        ("training_set", "test_set"),
        ("Train_Images", "holdout"),
        ("flowers-train", "flowers-eval"),
    ],
)
def test_split_folders_in_any_words(train: str, test: str) -> None:
    found = read(f"{train}/cat", f"{train}/dog", f"{test}/cat", f"{test}/dog")
    assert found == {
        f"{train}/cat": ("cat", "train"),
        f"{train}/dog": ("dog", "train"),
        f"{test}/cat": ("cat", "test"),
        f"{test}/dog": ("dog", "test"),
    }


def test_train_test_and_val_with_three_names() -> None:
    found = read("Train/a", "Train/b", "Test/a", "Val/b")
    assert {split for _, split in found.values()} == {"train", "test", "val"}


def test_a_class_may_be_named_like_a_split() -> None:
    assert set(read("bus", "car", "train").values()) == {
        ("bus", None),
        ("car", None),
        ("train", None),
    }
    # One folder inside train/ is no set of classes.
    assert set(read("bus", "car", "train/steam")) == {"bus", "car", "train/steam"}
    assert read("bus/city", "bus/school", "car/old", "train/steam", "train/diesel")[
        "train/steam"
    ] == ("train", None)
    assert read("valid", "invalid")["valid"] == ("valid", None)
    assert read("test", "control")["test"] == ("test", None)


def test_splits_inside_classes() -> None:
    found = read("cat/train", "cat/test", "dog/Training", "dog/Testing", "fox/train")
    assert found == {
        "cat/train": ("cat", "train"),
        "cat/test": ("cat", "test"),
        "dog/Training": ("dog", "train"),
        "dog/Testing": ("dog", "test"),
        "fox/train": ("fox", "train"),
    }


def test_a_folder_beside_splits_inside_a_class_is_named() -> None:
    folders = ["cat/train", "cat/test", "cat/mask", "dog/train", "dog/test"]
    labeled = label_paths("DATA", paths_of(*folders))
    assert labeled.misplaced == {
        "cat/mask/1.jpg": "in mask/, which is no split",
        "cat/mask/2.jpg": "in mask/, which is no split",
    }
    assert len(labeled.rows) == 8


def test_fold_folders_are_parts_of_one_dataset() -> None:
    labeled = label_paths("DATA", paths_of("fold_1/a", "fold_1/b", "fold_2/a", "fold_2/b"))
    assert {label for _, label, _, _ in labeled.rows} == {"a", "b"}
    assert "--folds" in labeled.notes[0]


AMBIGUOUS = {
    "sites with the same classes": ["north/cat", "north/dog", "south/cat", "south/dog"],
    "images and masks": ["images/cat", "images/dog", "masks/cat", "masks/dog"],
    "one site lacks a class": ["north/cat", "north/dog", "south/cat"],
    "splits and another folder": ["train/cat", "train/dog", "test/cat", "test/dog", "extra"],
    "one split and loose images": ["train/cat", "train/dog", "unlabeled"],
    "one split and a copy": ["train/cat", "train/dog", "more/cat", "more/dog"],
    "one split in another language": ["Training/cat", "Training/dog", "Prüfung/cat"],
    "some classes have splits": ["cat/train", "cat/test", "dog"],
}


@pytest.mark.parametrize("name", AMBIGUOUS)
def test_two_readings_are_refused_and_each_can_be_chosen(name: str) -> None:
    """The options that the message names give two different readings."""
    message = refusal(*AMBIGUOUS[name])
    words = shlex.split(message.replace("(", " ").replace(")", " "))
    layouts = [word.partition("=")[2] for word in words if word.startswith("data.layout=")]
    assert len(layouts) == 2
    readings = []
    for layout in layouts:
        options = load_data_options([f"data.layout={layout}"])
        readings.append(read(*AMBIGUOUS[name], layout=options.layout))
    assert readings[0] != readings[1]
    assert all(readings)


@pytest.mark.parametrize(
    "folders",
    [["train", "test"], ["Training", "Testing", "Validation"], ["fold_1", "fold_2", "fold_3"]],
)
def test_parts_without_class_folders_are_no_classes(folders: list[str]) -> None:
    message = refusal(*folders)
    assert "no class folders" in message and "data.layout=class" in message
    assert set(read(*folders, layout="class").values()) == {(name, None) for name in folders}


def test_subfolders_of_classes_may_share_a_name() -> None:
    """One shared name is no set of classes; neither are names that few folders share."""
    assert read("n01/images", "n02/images")["n01/images"] == ("n01", None)
    assert read("cat/2019", "cat/2020", "dog/2020", "dog/2021")["dog/2020"] == ("dog", None)
    # Images beside the folders would have no class in the other reading.
    assert read("cat", "cat/male", "cat/female", "dog/male", "dog/female")["cat"] == ("cat", None)


def test_a_val_folder_without_classes_of_train_is_refused() -> None:
    assert "none of the classes" in refusal("train/a", "train/b", "val/images")
    labeled = label_paths("DATA", paths_of("train/a", "train/b", "val/a", "val/c"))
    assert any("c/ of the val split" in note for note in labeled.notes)


def test_what_was_taken_for_what_is_said() -> None:
    assert label_paths("DATA", paths_of("cat", "dog")).notes == [
        "Layout: each folder is a class: cat/, dog/"
    ]
    (note,) = label_paths("DATA", paths_of("Training/a", "Training/b", "Testing/a")).notes
    assert "Training/ is dealt into folds" in note
    assert "Testing/ is left out of training, for bestiary evaluate" in note


def test_names_that_look_the_same_are_one_class() -> None:
    composed = unicodedata.normalize("NFC", "café")
    decomposed = unicodedata.normalize("NFD", "café")
    labeled = label_paths("DATA", paths_of(composed, decomposed, "thé"))
    assert {label for _, label, _, _ in labeled.rows} == {composed, "thé"}
    assert any("look the same" in note for note in labeled.notes)
    # Paths stay as they are on the disk.
    assert {path.split("/")[0] for path, *_ in labeled.rows} == {composed, decomposed, "thé"}


@pytest.mark.parametrize("outer", ["images", "zip/zip", "a/b/c"])
def test_one_inner_folder_is_named_as_the_remedy(tmp_path: Path, outer: str) -> None:
    for path in paths_of(f"{outer}/cat", f"{outer}/dog"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    with pytest.raises(DataError, match=f"name .*/{outer}") as caught:
        list_labeled(tmp_path)
    remedy = str(caught.value).rpartition("name ")[2]
    assert len(list_labeled(remedy).table["label"].unique()) == 2


def test_a_layout_that_is_chosen_leaves_the_rest_to_quarantine(tmp_path: Path) -> None:
    for path in paths_of("train/cat", "train/dog", "test/cat", "extra"):
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    listing = list_dataset(tmp_path, load_data_options(["data.layout=split/class"]))
    assert listing.unusable == [
        ("extra/1.jpg", "in extra/, which is no split"),
        ("extra/2.jpg", "in extra/, which is no split"),
    ]
