"""Listing folders: labels, splits, every file accounted for, and errors of one clear line."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from bestiary.data.listing import list_images, list_labeled
from bestiary.errors import DataError

Tree = Callable[..., Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make empty files at the given paths; listing decodes no image."""

    def make(*paths: str) -> Path:
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path

    return make


def refusal(data: Path) -> str:
    with pytest.raises(DataError) as caught:
        list_labeled(data)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def columns(data: Path, *names: str) -> list[tuple[str | None, ...]]:
    return list_labeled(data).outside_test.table.select(names).rows()


def test_class_folders_give_labels_and_paths_sorted(tree: Tree) -> None:
    data = tree("dog/b.jpg", "dog/a.png", "cat/c.webp", "cat/d.gif")
    listing = list_labeled(data)
    assert listing.root == data
    assert listing.table.columns == ["path", "label", "group", "split"]
    assert listing.table.rows() == [
        ("cat/c.webp", "cat", None, None),
        ("cat/d.gif", "cat", None, None),
        ("dog/a.png", "dog", None, None),
        ("dog/b.jpg", "dog", None, None),
    ]
    assert listing.ignored == {} and listing.unusable == []


def test_nested_folders_belong_to_the_class(tree: Tree) -> None:
    data = tree("dog/2020/x/a.jpg", "dog/b.jpg", "cat/deep/c.jpg")
    assert columns(data, "path", "label") == [
        ("cat/deep/c.jpg", "cat"),
        ("dog/2020/x/a.jpg", "dog"),
        ("dog/b.jpg", "dog"),
    ]


def test_labels_may_hold_unicode_and_spaces(tree: Tree) -> None:
    data = tree("Río de la Plata/a b.jpg", "犬/写真.jpg", "été 2/é.png", "a'b\"c,d/x.jpg")
    assert [label for (label,) in columns(data, "label")] == [
        "Río de la Plata",
        "a'b\"c,d",
        "été 2",
        "犬",
    ]
    assert ("a'b\"c,d/x.jpg",) in columns(data, "path")


def test_suffixes_count_in_any_case(tree: Tree) -> None:
    data = tree("a/1.JPG", "a/2.Jpeg", "a/3.PNG", "b/4.TIFF", "b/5.WebP", "b/6.BMP", "b/7.jfif")
    assert len(columns(data, "path")) == 7


def test_hidden_and_non_image_files_are_counted(tree: Tree) -> None:
    data = tree(
        "a/1.jpg",
        "b/2.jpg",
        "a/.hidden.jpg",
        ".git/x.jpg",
        ".DS_Store",
        "a/notes.txt",
        "b/data.csv",
        "b/no_suffix",
        "loose.jpg",
    )
    listing = list_labeled(data)
    assert listing.table.height == 2
    assert listing.ignored == {"hidden": 3, "of other kinds (1 .csv, 1 .txt, 1 no suffix)": 3}
    assert listing.unusable == [("loose.jpg", "in no class folder")]


def test_symlink_loops_end(tree: Tree) -> None:
    data = tree("a/1.jpg", "b/2.jpg")
    (data / "a" / "up").symlink_to(data, target_is_directory=True)
    (data / "b" / "self").symlink_to(data / "b", target_is_directory=True)
    assert columns(data, "path", "label") == [("a/1.jpg", "a"), ("b/2.jpg", "b")]


def test_symlinked_folders_and_images_are_followed(
    tree: Tree, tmp_path_factory: pytest.TempPathFactory
) -> None:
    data = tree("a/1.jpg")
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (elsewhere / "2.jpg").touch()
    (data / "b").symlink_to(elsewhere, target_is_directory=True)
    (data / "a" / "3.jpg").symlink_to(elsewhere / "2.jpg")
    assert columns(data, "path") == [("a/1.jpg",), ("a/3.jpg",), ("b/2.jpg",)]


def test_non_unicode_file_name_is_unusable(tree: Tree) -> None:
    data = tree("a/1.jpg", "b/2.jpg")
    try:
        Path(os.fsdecode(os.fsencode(data / "a") + b"/\xff\xfe.jpg")).touch()
    except OSError:
        pytest.skip("this file system takes Unicode names only")
    listing = list_labeled(data)
    assert listing.table.height == 2
    ((path, reason),) = listing.unusable
    assert path.startswith("a/") and path.isprintable() and reason == "file name is not Unicode"


def test_train_and_val_are_pooled_test_is_left_out(
    tree: Tree,
) -> None:
    data = tree(
        "train/0/a.jpg",
        "train/1/b.jpg",
        "val/0/c.jpg",
        "test/d.jpg",
        "test/e.jpg",
        "test/notes.txt",
    )
    listing = list_labeled(data)
    assert listing.outside_test.table.rows() == [
        ("train/0/a.jpg", "0", None, "train"),
        ("train/1/b.jpg", "1", None, "train"),
        ("val/0/c.jpg", "0", None, "val"),
    ]
    assert listing.test.table.rows() == [
        ("test/d.jpg", None, None, "test"),
        ("test/e.jpg", None, None, "test"),
    ]
    assert listing.ignored == {"of other kinds (1 .txt)": 1}


def test_folder_with_class_folders_is_left_out(tree: Tree) -> None:
    data = tree("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.jpg", "test/b/5.jpg")
    listing = list_labeled(data)
    assert [path for (path,) in columns(data, "path")] == ["train/a/1.jpg", "train/b/2.jpg"]
    assert listing.test.table["label"].to_list() == ["a", "b", "b"]


@pytest.mark.parametrize("name", ["val", "valid", "validation", "Validation"])
def test_names_of_the_validation_folder(tree: Tree, name: str) -> None:
    data = tree("train/a/1.jpg", "train/b/2.jpg", f"{name}/b/3.jpg")
    assert sorted(columns(data, "split", "path")) == [
        ("train", "train/a/1.jpg"),
        ("train", "train/b/2.jpg"),
        ("val", f"{name}/b/3.jpg"),
    ]


def test_train_alone_is_enough(tree: Tree) -> None:
    assert columns(tree("train/a/1.jpg", "train/b/2.jpg"), "label") == [("a",), ("b",)]


def test_counts_of_the_parts_are_added(tree: Tree) -> None:
    data = tree(
        "train/a/1.jpg",
        "train/b/2.jpg",
        "train/a/x.txt",
        "val/a/y.txt",
        "val/b/4.jpg",
        "train/loose.jpg",
    )
    listing = list_labeled(data)
    assert listing.ignored == {"of other kinds (2 .txt)": 2}
    assert listing.unusable == [("train/loose.jpg", "in no class folder")]


def test_a_class_may_be_called_train(tree: Tree) -> None:
    assert columns(tree("train/1.jpg", "plane/2.jpg"), "label") == [("plane",), ("train",)]


def test_empty_folder_single_class_and_missing_folder(tree: Tree, tmp_path: Path) -> None:
    assert "nothing at all" in refusal(tmp_path)
    assert "no such folder or table" in refusal(tmp_path / "gone")
    tree("loose.jpg", "notes.txt")
    assert "1 in no class folder" in refusal(tmp_path)
    assert "1 of other kinds (1 .txt)" in refusal(tmp_path)
    tree("only/1.jpg", "only/2.jpg")
    assert "one class only, 'only'" in refusal(tmp_path)


def test_list_images_of_nested_folders(tree: Tree) -> None:
    data = tree("b.jpg", "x/y/a.PNG", ".hidden.jpg", "notes.txt")
    listing = list_images(data)
    assert listing.table["path"].to_list() == ["b.jpg", "x/y/a.PNG"]
    assert listing.table["label"].null_count() == 2
    assert listing.ignored == {"hidden": 1, "of other kinds (1 .txt)": 1}


def test_list_images_of_a_single_file(tree: Tree) -> None:
    data = tree("x/one.jpg", "x/two.jpg")
    listing = list_images(data / "x" / "one.jpg")
    assert listing.root == data / "x" and listing.table["path"].to_list() == ["one.jpg"]


def test_no_images_error_names_the_formats(tree: Tree, tmp_path: Path) -> None:
    tree("notes.txt")
    with pytest.raises(DataError, match=r"holds no images.*\.jpg"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="no such folder, table or image"):
        list_images(tmp_path / "gone")
    with pytest.raises(DataError, match="give a table with the column path"):
        list_images("s3://bucket/new")


def test_two_class_folders_linked_to_one_folder_keep_both_classes(tree: Tree) -> None:
    data = tree("cat/1.jpg", "store/x/2.jpg")
    (data / "dog").symlink_to(data / "store" / "x", target_is_directory=True)
    (data / "wolf").symlink_to(data / "store" / "x", target_is_directory=True)
    assert columns(data, "path", "label") == [
        ("cat/1.jpg", "cat"),
        ("dog/2.jpg", "dog"),
        ("store/x/2.jpg", "store"),
        ("wolf/2.jpg", "wolf"),
    ]


def test_a_folder_linked_twice_inside_a_class_is_listed_once_and_said(tree: Tree) -> None:
    data = tree("cat/x/1.jpg", "dog/2.jpg")
    (data / "cat" / "y").symlink_to(data / "cat" / "x", target_is_directory=True)
    listing = list_labeled(data)
    assert listing.table.height == 2
    assert "Links: 1 lead to a folder that is listed already" in listing.notes


def test_links_in_circles_of_many_folders_end(tree: Tree) -> None:
    names = [f"d{number}" for number in range(12)]
    data = tree(*(f"{name}/1.jpg" for name in names))
    for name in names:
        for other in names:
            (data / name / f"to-{other}").symlink_to(data / other, target_is_directory=True)
    assert list_labeled(data).table.height == len(names) * len(names)


def test_broken_links_and_pipes_are_unusable(tree: Tree) -> None:
    data = tree("a/1.jpg", "b/2.jpg")
    (data / "a" / "gone.jpg").symlink_to(data / "nowhere.jpg")
    (data / "a" / "self.jpg").symlink_to("self.jpg")
    (data / "b" / "self").symlink_to("self")
    os.mkfifo(data / "b" / "pipe.jpg")
    os.mkfifo(data / "b" / "pipe")
    listing = list_labeled(data)
    assert listing.unusable == [
        ("a/gone.jpg", "broken link"),
        ("a/self.jpg", "cannot be followed (Too many levels of symbolic links)"),
        ("b/pipe.jpg", "not a regular file"),
    ]
    assert listing.ignored == {"of other kinds (2 no suffix)": 2}


def test_a_folder_that_cannot_be_read_is_named(tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    data = tree("a/1.jpg", "b/2.jpg", "b/closed/3.jpg")
    scandir = os.scandir

    def refuse(folder: str) -> object:
        if str(folder).endswith("closed"):
            raise PermissionError(13, "Permission denied")
        return scandir(folder)

    monkeypatch.setattr(os, "scandir", refuse)
    assert list_labeled(data).unusable == [
        ("b/closed", "folder cannot be read (Permission denied)")
    ]


def test_a_run_inside_the_data_is_no_class(tree: Tree) -> None:
    data = tree("a/1.jpg", "b/2.jpg", "run/recipe.toml", "run/manifest.parquet", "run/x/plot.png")
    listing = list_labeled(data)
    assert columns(data, "label") == [("a",), ("b",)]
    assert listing.ignored == {"of a run of bestiary": 3}
    assert listing.empty_classes == {}


def test_folders_without_images_are_named(tree: Tree) -> None:
    data = tree("a/1.jpg", "b/2.jpg", "c/notes.txt", "e/photo.nef")
    (data / "d").mkdir()
    listing = list_labeled(data)
    assert listing.empty_classes == {"c": 0, "d": 0, "e": 1}
    assert [path for path, _ in listing.unusable] == ["e/photo.nef"]


def test_several_images_and_folders_share_their_root(tree: Tree, tmp_path: Path) -> None:
    data = tree("x/a/1.jpg", "x/b/2.jpg", "y/3.jpg")
    listing = list_images([data / "x" / "a", data / "y" / "3.jpg"])
    assert listing.root == data
    assert listing.table["path"].to_list() == ["x/a/1.jpg", "y/3.jpg"]
    repeated = list_images([data / "x", data / "x" / "a" / "1.jpg"])
    assert repeated.table["path"].to_list() == ["a/1.jpg", "b/2.jpg"]
    assert repeated.notes == ["Named more than once: 1 image; each has one row"]


def test_a_table_of_paths_gives_images_without_labels(tree: Tree) -> None:
    data = tree("x/1.jpg", "x/2.jpg", "x/3.jpg")
    (data / "t.csv").write_text("path\nx/2.jpg\nx/1.jpg\n")
    assert list_images(data / "t.csv").table["path"].to_list() == ["x/1.jpg", "x/2.jpg"]


def test_unlabeled_test_images_that_are_not_read_are_no_class(tree: Tree) -> None:
    data = tree("train/a/1.jpg", "train/b/2.jpg", "test/3.nef", "train/c/4.nef")
    listing = list_labeled(data)
    assert listing.empty_classes == {"c": 1}
    assert [path for path, _ in listing.unusable] == ["test/3.nef", "train/c/4.nef"]
