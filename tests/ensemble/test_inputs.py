"""What `predict` takes as images: every kind and every container, in its own order, or by name."""

import enum
import io
import os
import shutil
import tempfile
import zipfile
from collections import OrderedDict, UserList, deque
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import numpy as np
import polars as pl
import pytest
from PIL import Image

from bestiary.ensemble import inputs
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError, ImageError


@pytest.fixture(scope="module")
def expected(plain: Ensemble, files: list[Path]) -> np.ndarray:
    """The answers for `files`, all of them different."""
    answers = plain.predict_proba(files)
    assert len({row.tobytes() for row in answers}) == len(files)
    return answers


CONTAINERS: dict[str, Callable[[list[Path]], Any]] = {
    "tuple": tuple,
    "deque": deque,
    "user list": UserList,
    "generator": lambda paths: (path for path in paths),
    "map": lambda paths: map(str, paths),
    "iterator": iter,
    "object array": lambda paths: np.array(paths, object),
    "str array": lambda paths: np.array([str(path) for path in paths]),
    "polars": lambda paths: pl.Series([str(path) for path in paths]),
    "polars column": lambda paths: pl.DataFrame({"path": [str(path) for path in paths]})["path"],
    "polars bytes": lambda paths: pl.Series([path.read_bytes() for path in paths]),
    "dict keys": lambda paths: dict.fromkeys(paths).keys(),
    "dict values": lambda paths: {-i: path for i, path in enumerate(paths)}.values(),
    "dict as iterator": lambda paths: iter(dict.fromkeys(paths)),
}


@pytest.mark.parametrize("container", CONTAINERS)
def test_containers_answer_in_their_order(
    plain: Ensemble, files: list[Path], expected: np.ndarray, container: str
) -> None:
    reverse = files[::-1]
    answers = plain.predict_proba(CONTAINERS[container](reverse))
    np.testing.assert_array_equal(answers, expected[::-1])
    scored = list(plain.iter_logits(CONTAINERS[container](reverse)))
    np.testing.assert_array_equal(plain.probabilities(scored[0].logits), expected[::-1])


@pytest.mark.parametrize("dtype", ["object", "str", "category"])
def test_pandas_column_answers_by_position(
    plain: Ensemble, files: list[Path], expected: np.ndarray, dtype: str
) -> None:
    pandas = pytest.importorskip("pandas")
    frame = pandas.DataFrame({"path": [str(path) for path in files]}).astype(dtype)
    order = [3, 0, 5, 1, 4, 2]
    shuffled = frame.iloc[order]
    np.testing.assert_array_equal(plain.predict_proba(shuffled["path"]), expected[order])
    np.testing.assert_array_equal(plain.predict_proba(shuffled.path), expected[order])
    kept = frame[[False, True] * 3]
    np.testing.assert_array_equal(plain.predict_proba(kept.path), expected[1::2])
    repeated = shuffled.set_axis([0] * len(order))
    np.testing.assert_array_equal(plain.predict_proba(repeated.path), expected[order])
    index = pandas.Index(shuffled.path)
    np.testing.assert_array_equal(plain.predict_proba(index), expected[order])
    with pytest.raises(ArgumentError, match=r"^DataFrame: is a table; pass .* df\['path'\]$"):
        plain.predict(shuffled)
    with pytest.raises(ArgumentError, match=r"^image 1: .*: is no image; .* df.dropna\(\)$"):
        plain.predict(pandas.Series([str(files[0]), None]))


class Name(str, enum.Enum):  # noqa: UP042 - the kind whose str() is not its value
    """A path as a constant."""

    BEAST = "beast.png"


SINGLES: dict[str, Callable[[Path], Any]] = {
    "str": str,
    "path": lambda path: path,
    "str enum": lambda path: Name.BEAST,
    "numpy str": lambda path: np.str_(path),
    "bytes": Path.read_bytes,
    "bytearray": lambda path: bytearray(path.read_bytes()),
    "memoryview": lambda path: memoryview(path.read_bytes()),
    "BytesIO": lambda path: io.BytesIO(path.read_bytes()),
    "file": lambda path: path.open("rb"),
    "raw file": lambda path: path.open("rb", buffering=0),
    "PIL": Image.open,
    "array": lambda path: np.asarray(Image.open(path)),
    "zip path": lambda path: zipfile.Path(zipped(path), path.name),
    "zip member": lambda path: zipfile.ZipFile(zipped(path)).open(path.name),  # noqa: SIM115
}


class OnlyPathLike:
    def __init__(self, path: Path) -> None:
        self.path = path

    def __fspath__(self) -> str:
        return str(self.path)


SINGLES["PathLike"] = OnlyPathLike


def zipped(path: Path) -> Path:
    archive = path.with_name("archive.zip")
    with zipfile.ZipFile(archive, "w") as written:
        written.write(path, path.name)
    return archive


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", SINGLES)
def test_single_images(
    plain: Ensemble,
    files: list[Path],
    expected: np.ndarray,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    kind: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = Path(shutil.copy(files[2], tmp_path / "beast.png"))
    for _ in range(2):  # a file is read from its start each time
        image = SINGLES[kind](path)
        np.testing.assert_allclose(plain.predict_proba(image), expected[2:3], atol=1e-6)
        np.testing.assert_allclose(plain.predict_proba([image] * 3), expected[[2, 2, 2]], atol=1e-6)
        np.testing.assert_allclose(plain.predict_proba(iter([image])), expected[2:3], atol=1e-6)


def test_file_position_is_put_back(plain: Ensemble, files: list[Path]) -> None:
    written = io.BytesIO()
    written.write(files[0].read_bytes())
    end = written.tell()
    assert plain.predict(written) == plain.predict(files[0])
    assert written.tell() == end


def test_stream_is_read_once(plain: Ensemble, files: list[Path]) -> None:
    read, write = os.pipe()
    os.write(write, files[0].read_bytes())
    os.close(write)
    with open(read, "rb") as stream:
        assert plain.predict(stream) == plain.predict(files[0])
        with pytest.raises(ImageError, match="empty file; a stream can be read only once"):
            plain.predict(stream)


def test_iterator_may_reuse_and_close_its_images(
    plain: Ensemble, files: list[Path], expected: np.ndarray
) -> None:
    def one_buffer() -> Iterator[io.BytesIO]:
        buffer = io.BytesIO()
        for path in files:
            buffer.seek(0)
            buffer.truncate()
            buffer.write(path.read_bytes())
            yield buffer

    def one_array() -> Iterator[np.ndarray]:
        pixels = np.zeros((36, 40, 3), np.uint8)
        for path in files:
            pixels[:] = np.asarray(Image.open(path))[:36]
            yield pixels

    def closed() -> Iterator[Any]:
        for index, path in enumerate(files):
            with Image.open(path) if index % 2 else path.open("rb") as image:
                yield image

    np.testing.assert_array_equal(plain.predict_proba(one_buffer()), expected)
    np.testing.assert_array_equal(plain.predict_proba(closed()), expected)
    separate = [np.asarray(Image.open(path))[:36] for path in files]
    np.testing.assert_array_equal(plain.predict_proba(one_array()), plain.predict_proba(separate))


def test_long_iterator_is_taken_in_parts(
    plain: Ensemble, files: list[Path], expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inputs, "PART_SIZE", 4)
    np.testing.assert_allclose(plain.predict_proba(iter(files)), expected, atol=1e-6)
    rows = [batch.rows.tolist() for batch in plain.iter_logits(iter(files))]
    assert rows == [[0, 1, 2, 3], [4, 5]]
    ticks: list[tuple[int, int]] = []
    list(plain.iter_logits(iter(files), lambda done, total: ticks.append((done, total))))
    assert ticks == [(4, 4), (6, 6)]
    with pytest.raises(ImageError, match=r"^image 5, /none.jpg: cannot be read"):
        plain.predict(iter([*files[:5], "/none.jpg"]))


EMPTY: dict[str, Any] = {
    "list": [],
    "tuple": (),
    "iterator": iter([]),
    "array": np.array([]),
    "no images of 8 x 8": np.zeros((0, 8, 8, 3), np.uint8),
    "keys": {}.keys(),
    "series": pl.Series([], dtype=pl.String),
}


@pytest.mark.parametrize("images", EMPTY.values(), ids=EMPTY)
def test_no_images_give_no_answers(plain: Ensemble, images: Any) -> None:
    assert plain.predict_proba(images).shape == (0, 3)
    assert plain.predict([]).shape == (0,)


class Looks:
    """Looks like a file, and gives something else."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def read(self) -> Any:
        return self.content

    def read_bytes(self) -> Any:
        return self.content

    def is_file(self) -> bool:
        return True


class OnlyReads:
    def read(self) -> Any:
        return "text"


REFUSED: dict[str, tuple[Callable[[], Any], str]] = {
    "set": (lambda: {"a.jpg"}, r"^set: has no order .* sorted\(images\)"),
    "frozenset": (lambda: frozenset(["a.jpg"]), "^frozenset: has no order"),
    "dict": (lambda: {"a.jpg": 1}, r"^dict: .* list\(images.values\(\)\)"),
    "ordered dict": (OrderedDict, "^OrderedDict: "),
    "environment": (lambda: os.environ, "^_Environ: "),
    "polars table": (lambda: pl.DataFrame({"path": ["a"]}), r"^DataFrame: .* df\['path'\]"),
    "lazy table": (lambda: pl.DataFrame({"path": ["a"]}).lazy(), r"^LazyFrame: .* df\['path'\]"),
    "None": (lambda: None, "^None: is no image"),
    "int": (lambda: 7, "^int: is no image; images are paths"),
    "class": (lambda: Path, "^type: is no image"),
    "nan": (lambda: ["a.jpg", float("nan")], r"^image 1: nan: .* df.dropna\(\)"),
    "numpy nan": (lambda: ["a.jpg", np.float32("nan")], r"^image 1: nan: .* df.dropna\(\)"),
    "None in a list": (lambda: ["a.jpg", None], r"^image 1: None: .* df.dropna\(\)"),
    "None in polars": (lambda: pl.Series(["a.jpg", None]), "^image 1: None: "),
    "int in a list": (lambda: [7], "^image 0: int: is no image"),
    "range": (lambda: range(3), "^image 0: int: is no image"),
    "int array": (lambda: np.array([1, 2]), r"array int64 \(2,\): is not uint8"),
    "pairs": (lambda: {"a": "b"}.items(), "^image 0: tuple: is no image; pass one flat list"),
    "lists": (lambda: [["a.jpg"]], "^image 0: list: is no image; pass one flat list"),
    "table of paths": (lambda: np.array([["a"]], object), r"images.ravel\(\)"),
    "bytes array": (lambda: np.array([b"a"]), "drops zeros at the end; pass a list of bytes"),
    "text": (lambda: io.StringIO("a.jpg"), r"StringIO: is open as text; .*open\(path, 'rb'\)"),
    "text in a generator": (lambda: iter([io.StringIO()]), "^image 0: StringIO: is open as text"),
    "wide memory": (lambda: memoryview(np.zeros((8, 8, 3), np.uint8)), r"numpy.asarray\(image\)"),
    "str of read_bytes": (lambda: Looks("a"), r"Looks.read_bytes\(\) gives str, not bytes"),
    "None of read_bytes": (lambda: [Looks(None)], "^image 0, .*Looks.*gives NoneType"),
    "str of read": (OnlyReads, r"OnlyReads.read\(\) gives str, not bytes"),
    "mock": (MagicMock, "gives MagicMock, not bytes"),
}


@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize("kind", REFUSED)
def test_refused_by_name_on_one_line(plain: Ensemble, kind: str) -> None:
    make, words = REFUSED[kind]
    for method in (plain.predict, lambda images: list(plain.iter_logits(images))):
        with pytest.raises(ArgumentError, match=words) as raised:
            method(make())
        assert "\n" not in str(raised.value)


def test_files_open_as_text_are_refused(plain: Ensemble) -> None:
    with (
        tempfile.TemporaryFile("w+") as file,
        pytest.raises(ArgumentError, match="is open as text"),
    ):
        plain.predict(file)  # type: ignore[arg-type]
    with (
        tempfile.NamedTemporaryFile("w+") as wrapper,
        pytest.raises(ArgumentError, match=r"gives str, not bytes; .*open\(path, 'rb'\)"),
    ):
        plain.predict(wrapper)  # type: ignore[arg-type]


def test_wrong_type_is_met_before_any_work(plain: Ensemble) -> None:
    with pytest.raises(ArgumentError, match="image 1: "):
        plain.predict(["/missing.jpg", None])  # type: ignore[list-item]


UNREADABLE: dict[str, tuple[Any, str]] = {
    "missing": ("/none/a.jpg", r"^/none/a.jpg: cannot be read \(No such file"),
    "missing in a list": (["/none/a.jpg", "/b"], "^image 0, /none/a.jpg: cannot be read"),
    "folder": (Path("/"), "^/: is a folder; pass a list of the images in it"),
    "empty path": ("", "an empty path"),
    "null": ("a\0b.jpg", r"^'a\\x00b.jpg': cannot be read \(embedded null"),
    "two lines": ("a\nb.jpg", r"^'a\\nb.jpg': cannot be read"),
    "surrogate": ("\ud800.jpg", r"^'\\ud800.jpg': cannot be read"),
    "content as text": ("x" * 9000, r"\.\.\.: cannot be read \(File name too long\)"),
    "no bytes": (b"", "has no bytes"),
    "no image": ([b"hello"], "^image 0: not an image"),
    "no pixels": (Image.new("RGB", (0, 4)), "has no pixels"),
}


@pytest.mark.parametrize("kind", UNREADABLE)
def test_unreadable_names_path_on_one_line(plain: Ensemble, kind: str) -> None:
    images, words = UNREADABLE[kind]
    with pytest.raises(ImageError, match=words) as raised:
        plain.predict(images)
    assert "\n" not in str(raised.value)
    assert len(str(raised.value)) < 400


def test_closed_and_truncated_images(plain: Ensemble, files: list[Path]) -> None:
    with files[0].open("rb") as file:
        pass
    with pytest.raises(ImageError, match="closed file"):
        plain.predict(file)
    with Image.open(files[0]) as image:
        pass
    with pytest.raises(ImageError, match="image 1: damaged"):
        plain.predict([files[0], image])
    half = io.BytesIO(files[0].read_bytes()[:400])
    with pytest.raises(ImageError, match="truncated"):
        plain.predict(Image.open(half))
