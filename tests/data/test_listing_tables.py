"""Listing tables: columns, splits, missing values, paths, text encodings, errors of one line."""

import unicodedata
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bestiary.data.listing import list_labeled
from bestiary.data.listing_tables import read_table
from bestiary.errors import DataError
from bestiary.recipe.sections import DataOptions
from bestiary.tables import escape_formulas

Table = Callable[[str, str], Path]


@pytest.fixture
def table(tmp_path: Path) -> Table:
    """Write a CSV table, or the same as Parquet, and empty files for its paths."""

    def make(name: str, text: str) -> Path:
        file = tmp_path / name
        (tmp_path / "source").write_text(text, encoding="utf-8")
        rows = pl.read_csv(tmp_path / "source", truncate_ragged_lines=True)
        touch(tmp_path, rows["path"].to_list() if "path" in rows.columns else [])
        if name.endswith(".parquet"):
            rows.write_parquet(file)
        else:
            file.write_text(text, encoding="utf-8")
        return file

    return make


def touch(folder: Path, paths: list[str | None]) -> None:
    """Make empty files at the paths that stay inside the folder."""
    for path in paths:
        file = folder / str(path).replace("\\", "/")
        if path and folder in file.resolve().parents and ":" not in str(path):
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch()


def refusal(data: Path, root: str = "") -> str:
    with pytest.raises(DataError) as caught:
        list_labeled(data, DataOptions(root=root))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def columns(data: Path, *names: str, root: str = "") -> list[tuple[str | None, ...]]:
    listing = list_labeled(data, DataOptions(root=root))
    return listing.outside_test.table.select(names).rows()


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
    assert listing.outside_test.table["path"].to_list() == ["a.jpg", "b.jpg"]
    assert listing.unusable == [("c.jpg", "without a label")]
    assert listing.test.table.rows() == [
        ("d.jpg", "a", None, "test"),
        ("e.jpg", None, None, "test"),
        ("f.jpg", "b", None, "test"),
    ]


def test_a_path_named_twice_is_refused(table: Table) -> None:
    assert "'a.jpg' more than once" in refusal(
        table("p.csv", "path,label\na.jpg,a\nb.jpg,b\na.jpg,b\n")
    )


@pytest.mark.parametrize(
    "path", ["./a/b.jpg", "a/./b.jpg", "a//b.jpg", ".\\a\\b.jpg", ".//././a/b.jpg"]
)
def test_one_file_in_two_spellings_is_one_image(table: Table, path: str) -> None:
    line = refusal(table("p.csv", f"path,label\na/b.jpg,a\nc.jpg,b\n{path},b\n"))
    assert "'a/b.jpg' more than once" in line
    file = table("q.csv", f"path,label\nc.jpg,b\n{path},a\n")
    assert columns(file, "path") == [("a/b.jpg",), ("c.jpg",)]


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
    elsewhere = tmp_path / "elsewhere"
    touch(elsewhere, ["a.jpg"])
    assert list_labeled(file, DataOptions(root=str(elsewhere))).root == tmp_path / "elsewhere"
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


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_separators_and_encodings_are_recognized(
    tmp_path: Path, separator: str, encoding: str
) -> None:
    rows = [" Path ", "LABEL", "note"], ["é/a.jpg", "Käfer", "x, y"], ["b.jpg", "Fliege", ""]
    text = "\r\n".join(separator.join(f'"{cell}"' for cell in row) for row in rows)
    (tmp_path / "t.csv").write_bytes(text.encode(encoding))
    touch(tmp_path, ["é/a.jpg", "b.jpg"])
    listing = list_labeled(tmp_path / "t.csv")
    assert listing.table.select("path", "label").rows() == [
        ("b.jpg", "Fliege"),
        ("é/a.jpg", "Käfer"),
    ]
    assert listing.notes == ["Columns handed through: note"]


def test_the_first_line_of_excel_names_the_separator(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("sep=;\npath;label\na,1.jpg;a\nb.jpg;b\n")
    touch(tmp_path, ["a,1.jpg", "b.jpg"])
    assert columns(tmp_path / "t.csv", "path") == [("a,1.jpg",), ("b.jpg",)]


def test_lines_may_end_as_on_old_macs(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes(b"path;label\ra.jpg;a\rb.jpg;b\r")
    touch(tmp_path, ["a.jpg", "b.jpg"])
    assert columns(tmp_path / "t.csv", "path", "label") == [("a.jpg", "a"), ("b.jpg", "b")]


def test_a_table_in_another_encoding_is_refused_with_the_line(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("path,label\na.jpg,a\nb.jpg,Käfer\n".encode("cp1252"))
    message = refusal(tmp_path / "t.csv")
    assert "line 3 is not in UTF-8" in message and "save it as CSV UTF-8" in message
    (tmp_path / "t.csv").write_bytes("path,label\na.jpg,a\n".encode("utf-16-le"))
    assert "UTF-16" in refusal(tmp_path / "t.csv")


def test_blank_lines_are_no_rows(table: Table) -> None:
    file = table("p.csv", "\npath,label\n\na.jpg,a\n\n,\nb.jpg,b\n\n")
    assert columns(file, "path") == [("a.jpg",), ("b.jpg",)]


@pytest.mark.parametrize("word", ["testing", "holdout", "eval", "test ", "TEST", "hold-out"])
def test_words_for_test_are_not_trained_on(table: Table, word: str) -> None:
    file = table("p.csv", f"path,label,split\na.jpg,a,train\nb.jpg,b,Training\nc.jpg,a,{word}\n")
    listing = list_labeled(file)
    assert listing.outside_test.table["split"].to_list() == ["train", "train"]
    assert listing.test.table["path"].to_list() == ["c.jpg"]


@pytest.mark.parametrize("word", ["private", "0", "fold1", "unlabeled", "x"])
def test_other_words_of_a_split_column_are_refused(table: Table, word: str) -> None:
    message = refusal(table("p.csv", f"path,label,split\na.jpg,a,train\nb.jpg,b,{word}\n"))
    assert word in message and "(1 row)" in message and "train, val and test" in message


def test_no_split_is_no_word(table: Table) -> None:
    file = table("p.csv", "path,label,split\na.jpg,a,nan\nb.jpg,b,\nc.jpg,b,None\n")
    assert columns(file, "split") == [(None,), (None,), (None,)]


def test_a_missing_label_in_parquet_is_no_class(tmp_path: Path) -> None:
    paths = ["a.jpg", "b.jpg", "c.jpg"]
    touch(tmp_path, [*paths])
    file = tmp_path / "t.parquet"
    pl.DataFrame(
        {"path": paths, "label": [1.0, float("nan"), 2.0], "group": [float("nan"), 1.0, 2.0]}
    ).write_parquet(file)
    listing = list_labeled(file)
    assert listing.table.select("path", "label", "group").rows() == [
        ("a.jpg", "1", None),
        ("c.jpg", "2", "2"),
    ]
    assert listing.unusable == [("b.jpg", "without a label")]


def test_absolute_paths_and_the_remedy_that_is_named(tmp_path: Path) -> None:
    images = tmp_path / "photos"
    touch(images, ["x/a.jpg", "y/b.jpg"])
    file = tmp_path / "tables" / "t.csv"
    file.parent.mkdir()
    file.write_text(f"path,label\n{images}/x/a.jpg,a\n{images}/y/b.jpg,b\n")
    message = refusal(file)
    root = message.rpartition("data.root=")[2]
    assert columns(file, "path", root=root) == [("x/a.jpg",), ("y/b.jpg",)]
    # Below the table's own folder they need no option.
    near = tmp_path / "t.csv"
    near.write_text(file.read_text())
    assert columns(near, "path") == [("photos/x/a.jpg",), ("photos/y/b.jpg",)]


@pytest.mark.parametrize("path", ["{folder}/../../etc/x.jpg", "/etc/x.jpg"])
def test_absolute_paths_elsewhere_stay_refused(tmp_path: Path, path: str) -> None:
    touch(tmp_path, ["a.jpg"])
    (tmp_path / "t.csv").write_text(f"path,label\na.jpg,a\n{path.format(folder=tmp_path)},b\n")
    assert "leads out of" in refusal(tmp_path / "t.csv")


def test_a_table_without_any_of_its_files_names_the_option(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\na.jpg,a\nb.jpg,b\n")
    message = refusal(tmp_path / "t.csv")
    assert "none of its 2 files" in message and "data.root" in message


def test_a_path_in_the_other_unicode_form_is_found(tmp_path: Path) -> None:
    composed = unicodedata.normalize("NFC", "é")
    decomposed = unicodedata.normalize("NFD", "é")
    touch(tmp_path, [f"{decomposed}/1.jpg", "b.jpg"])
    (tmp_path / "t.csv").write_text(f"path,label\n{composed}/1.jpg,{decomposed}\nb.jpg,b\n")
    assert columns(tmp_path / "t.csv", "path", "label") == [
        ("b.jpg", "b"),
        (f"{decomposed}/1.jpg", composed),
    ]


def test_text_that_a_spreadsheet_would_run_comes_back_as_it_was(tmp_path: Path) -> None:
    labels = ["-dash", "=sum", "@at", "'-quoted", "''", "+1", "it's"]
    table = pl.DataFrame({"path": [f"{n}.jpg" for n in range(len(labels))], "label": labels})
    touch(tmp_path, table["path"].to_list())
    escape_formulas(table).write_csv(tmp_path / "t.csv")
    assert columns(tmp_path / "t.csv", "label") == [(label,) for label in labels]


def test_two_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label, Label\na.jpg,a,b\n")
    assert "two columns 'label'" in refusal(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("path,label,label\na.jpg,a,b\n")
    assert "two columns 'label'" in refusal(tmp_path / "t.csv")


def test_paths_without_their_suffix_have_a_remedy(tmp_path: Path) -> None:
    touch(tmp_path, ["ISIC_1.jpg", "ISIC_2.jpg"])
    (tmp_path / "t.csv").write_text("path,label\nISIC_1,a\nISIC_2,b\n")
    assert "'ISIC_1.jpg' is one; write the paths with their suffix" in refusal(tmp_path / "t.csv")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("path,label\na.jpg,a\nb.jpg,b,c\n", "line 3 has 3 columns, and 2 have a name"),
        ("# mine\npath,label\na.jpg,a\n", "line 2 has 2 columns, and 1 have a name"),
        ("sep=;\npath;label\na.jpg;a;\n", "line 3 has 3 columns"),
        ("\n\npath,label\na.jpg,a\nb.jpg,b,c\n", "line 5 has 3 columns"),
        ('path,label,n\na.jpg,a,"x\ny"\nb.jpg,b,2,3\n', "line 4 has 4 columns"),
        ('path,label,n\na.jpg,a,3" long\nb.jpg,b,\n', "line 2 has a quote"),
        ('path,label,n\na.jpg,a,\nb.jpg,b,"x\nc.jpg,c,\n', "line 3 has a quote"),
        ('path,label\n"a.jpg,a\nb.jpg,b\n"c.jpg,c\n', "line 2 has a quote"),
    ],
)
def test_the_line_that_is_no_row_is_named(tmp_path: Path, text: str, words: str) -> None:
    touch(tmp_path, ["a.jpg", "b.jpg", "c.jpg"])
    (tmp_path / "t.csv").write_text(text)
    assert words in refusal(tmp_path / "t.csv")


@pytest.mark.parametrize(
    "text",
    [
        "a.jpg,cat\nb.jpg,dog\n",  # no header
        "path,label,split\na.jpg,cat,train,\nb.jpg,dog,train,\n",  # a comma at the end of rows
        "path,label\na.jpg,cat,train\n",  # a header that is one name short
    ],
)
def test_rows_that_do_not_fit_their_header_are_refused(tmp_path: Path, text: str) -> None:
    touch(tmp_path, ["a.jpg", "b.jpg"])
    (tmp_path / "t.csv").write_text(text)
    assert refusal(tmp_path / "t.csv")
