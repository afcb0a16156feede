"""Listing folders and tables: labels, splits, files left out, and errors of one clear line."""

import os
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bestiary.data.listing import list_images, list_labeled
from bestiary.data.listing_tables import read_table
from bestiary.errors import DataError

Tree = Callable[..., Path]
Table = Callable[[str, str], Path]


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    """Make empty files at the given paths; listing opens no file."""

    def make(*paths: str) -> Path:
        for path in paths:
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).touch()
        return tmp_path

    return make


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV table, or the same as Parquet."""

    def make(name: str, text: str) -> Path:
        file = tmp_path / name
        (tmp_path / "source.csv").write_text(text, encoding="utf-8")
        if name.endswith(".parquet"):
            pl.read_csv(tmp_path / "source.csv").write_parquet(file)
        else:
            file.write_text(text, encoding="utf-8")
        return file

    return make


def refusal(data: Path, root: str = "") -> str:
    with pytest.raises(DataError) as caught:
        list_labeled(data, root)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def columns(data: Path, *names: str, root: str = "") -> list[tuple[str | None, ...]]:
    return list_labeled(data, root).table.select(names).rows()


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
    assert listing.ignored == {"hidden": 3, "not named like an image": 3, "in no class folder": 1}


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
    assert listing.table.rows() == [
        ("train/0/a.jpg", "0", None, "train"),
        ("train/1/b.jpg", "1", None, "train"),
        ("val/0/c.jpg", "0", None, "val"),
    ]
    assert listing.ignored == {"in test/, left for predict": 2}


def test_folder_with_class_folders_is_left_out(tree: Tree) -> None:
    data = tree("train/a/1.jpg", "train/b/2.jpg", "test/a/3.jpg", "test/b/4.jpg", "test/b/5.jpg")
    listing = list_labeled(data)
    assert [path for (path,) in columns(data, "path")] == ["train/a/1.jpg", "train/b/2.jpg"]
    assert listing.ignored == {"in test/, left for predict": 3}


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
    assert list_labeled(data).ignored == {"not named like an image": 2, "in no class folder": 1}


def test_a_class_may_be_called_train(tree: Tree) -> None:
    assert columns(tree("train/1.jpg", "plane/2.jpg"), "label") == [("plane",), ("train",)]


def test_empty_folder_single_class_and_missing_folder(tree: Tree, tmp_path: Path) -> None:
    assert "nothing at all" in refusal(tmp_path)
    assert "no such folder or table" in refusal(tmp_path / "gone")
    tree("loose.jpg", "notes.txt")
    assert "1 in no class folder" in refusal(tmp_path)
    assert "1 not named like an image" in refusal(tmp_path)
    tree("only/1.jpg", "only/2.jpg")
    assert "one class only, 'only'" in refusal(tmp_path)


@pytest.mark.parametrize("name", ["images.csv", "images.CSV", "images.parquet"])
def test_a_table_gives_path_label_group_and_split(table: Table, name: str) -> None:
    file = table(
        name, "split,path,label,group\nval,x/2.jpg,7,g1\ntrain,x/1.jpg,10,\n,y/3.jpg,7,g1\n"
    )
    listing = list_labeled(file)
    assert listing.root == file.parent
    assert listing.table.rows() == [
        ("x/1.jpg", "10", None, "train"),
        ("x/2.jpg", "7", "g1", "val"),
        ("y/3.jpg", "7", "g1", None),
    ]


def test_a_table_of_paths_and_labels_is_enough(table: Table) -> None:
    assert columns(
        table("p.csv", "path,label,note\nb.jpg,b,x\na.jpg,a,y\n"), "path", "label", "group", "split"
    ) == [
        ("a.jpg", "a", None, None),
        ("b.jpg", "b", None, None),
    ]


def test_numbers_as_labels_keep_their_text_in_csv(table: Table) -> None:
    assert columns(table("p.csv", "path,label\na.jpg,007\nb.jpg,7\n"), "label") == [
        ("007",),
        ("7",),
    ]


def test_unlabeled_and_test_rows_are_counted(table: Table) -> None:
    rows = [
        "path,label,split",
        "a.jpg,a,train",
        "b.jpg,b,val",
        "c.jpg,,train",
        "d.jpg,a,test",
        "e.jpg,,test",
        "f.jpg,b,TEST",
    ]
    file = table("p.csv", "\n".join(rows) + "\n")
    listing = list_labeled(file)
    assert listing.table["path"].to_list() == ["a.jpg", "b.jpg"]
    assert listing.ignored == {"without a label": 2, "of the test split, left for predict": 2}


def test_a_path_named_twice_is_refused(table: Table) -> None:
    assert "'a.jpg' more than once" in refusal(
        table("p.csv", "path,label\na.jpg,a\nb.jpg,b\na.jpg,b\n")
    )


@pytest.mark.parametrize(
    "path",
    [
        "/etc/passwd.jpg",
        "../up.jpg",
        "a/../../up.jpg",
        "a/..",
        "C:/x.jpg",
        "c:x.jpg",
        "\\\\server\\x.jpg",
        "..\\x.jpg",
    ],
)
def test_paths_that_lead_out_are_refused(table: Table, path: str) -> None:
    line = refusal(table("p.csv", f"path,label\nok.jpg,a\n{path},b\n"))
    assert "leads out of" in line and "data.root" in line


def test_dots_that_do_not_lead_up_are_fine(table: Table) -> None:
    assert columns(table("p.csv", "path,label\na..b/x..jpg,a\n...jpg,b\n"), "path") == [
        ("...jpg",),
        ("a..b/x..jpg",),
    ]


def test_backslashes_are_folders_too(table: Table) -> None:
    assert columns(table("p.csv", "path,label\na\\x.jpg,a\nb\\y.jpg,b\n"), "path") == [
        ("a/x.jpg",),
        ("b/y.jpg",),
    ]


def test_the_root_of_a_table_can_be_named(table: Table, tmp_path: Path) -> None:
    file = table("p.csv", "path,label\na.jpg,a\nb.jpg,b\n")
    assert list_labeled(file, str(tmp_path / "elsewhere")).root == tmp_path / "elsewhere"
    line = refusal(table("q.csv", "path,label\na.jpg,a\n../b.jpg,b\n"), str(tmp_path / "elsewhere"))
    assert str(tmp_path / "elsewhere") in line


def test_a_table_without_its_columns_says_what_it_has(table: Table) -> None:
    line = refusal(table("p.csv", "file,label\na.jpg,a\n"))
    assert "no column 'path'" in line and "file, label" in line
    assert "no column 'label'" in refusal(table("q.csv", "path,class\na.jpg,a\n"))


def test_a_row_without_a_path_is_named(table: Table) -> None:
    assert "row 2 has no path" in refusal(table("p.csv", "path,label\na.jpg,a\n,b\n"))


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("empty.csv", b""),
        ("header.csv", b"path,label\n"),
        ("ragged.csv", b"path,label\na.jpg,a\nb.jpg,b,c,d\n"),
        ("binary.csv", b"\xff\xd8\xff\xe0\0\0\n\xff,\xfe\n"),
        ("text.parquet", b"path,label\na.jpg,a\n"),
        ("empty.parquet", b""),
        ("table.xlsx", b"PK\x03\x04"),
        ("image.jpg", b"\xff\xd8\xff"),
    ],
)
def test_invalid_table_is_refused_with_one_line(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    assert name in refusal(tmp_path / name)


def test_non_text_columns_are_refused_with_one_line(tmp_path: Path) -> None:
    pl.DataFrame({"path": ["a.jpg", "b.jpg"], "label": [["a"], ["b"]]}).write_parquet(
        tmp_path / "lists.parquet"
    )
    assert "lists.parquet" in refusal(tmp_path / "lists.parquet")
    pl.DataFrame({"path": [b"\xff\xfe", b"b.jpg"], "label": ["a", "b"]}).write_parquet(
        tmp_path / "bytes.parquet"
    )
    assert "bytes.parquet" in refusal(tmp_path / "bytes.parquet")


def test_a_table_of_one_class_is_refused(table: Table) -> None:
    assert "one class only" in refusal(table("p.csv", "path,label\na.jpg,a\nb.jpg,a\n"))


def test_a_csv_is_read_as_text_whatever_it_holds(table: Table) -> None:
    assert read_table(table("p.csv", "path,fold\n1,2\n")).rows() == [("1", "2")]


def test_list_images_of_nested_folders(tree: Tree) -> None:
    data = tree("b.jpg", "x/y/a.PNG", ".hidden.jpg", "notes.txt")
    listing = list_images(data)
    assert listing.table["path"].to_list() == ["b.jpg", "x/y/a.PNG"]
    assert listing.table["label"].null_count() == 2
    assert listing.ignored == {"hidden": 1, "not named like an image": 1}


def test_list_images_of_a_single_file(tree: Tree) -> None:
    data = tree("x/one.jpg", "x/two.jpg")
    listing = list_images(data / "x" / "one.jpg")
    assert listing.root == data / "x" and listing.table["path"].to_list() == ["one.jpg"]


def test_no_images_error_names_the_formats(tree: Tree, tmp_path: Path) -> None:
    tree("notes.txt")
    with pytest.raises(DataError, match=r"holds no images.*\.jpg"):
        list_images(tmp_path)
    with pytest.raises(DataError, match="no such folder or image"):
        list_images(tmp_path / "gone")
