"""The names of a run's files: run/layout.py is the only module that has them."""

import ast
import errno
import re
from pathlib import Path

import pytest

import bestiary
from bestiary.errors import RunError
from bestiary.run import layout
from bestiary.run.layout import FoldFiles, lock_folder, needed_for_prediction

SOURCES = Path(bestiary.__file__).parent
FOLDERS = {"labels", "figures", "last", "tensorboard"}
# A literal that equals a name but is none: (module, literal) -> what it is.
OTHER_MEANINGS = {
    ("beasts/camera_sample.py", "images.csv"): "the table of a drawn dataset",
    ("beasts/camera_sample.py", "taxonomy.csv"): "the taxa of drawn species",
    ("__init__.py", "labels"): "a verb",
    ("cli/verbs.py", "labels"): "a verb",
    ("cli/mistakes.py", "labels"): "a verb",
    ("exporting/web_page.py", "index.html"): "the page of a static host",
    ("reporting/labels_page.py", "labels.html"): "a template",
    ("reporting/scan_page.py", "scan.html"): "a template",
}
MODULES = sorted(
    file.relative_to(SOURCES).as_posix()
    for file in SOURCES.rglob("*.py")
    if file.name not in ("layout.py", "renamed.py")
)


def literals(module: str) -> list[str]:
    """All strings of a module but docstrings, those inside the braces of f-strings too."""
    tree = ast.parse((SOURCES / module).read_text(encoding="utf-8"))
    documentation = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    return [
        node.value
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant)
        and isinstance(node.value, str)
        and id(node) not in documentation
    ]


def names_in_layout() -> set[str]:
    file_name = re.compile(r"[\w-]+\.(toml|parquet|csv|json|safetensors|html|md|pdf)|SHA256SUMS")
    return {name for name in literals("run/layout.py") if file_name.fullmatch(name)} | FOLDERS


def test_layout_has_the_public_names() -> None:
    assert {
        "recipe.toml",
        "manifest.parquet",
        "folds.parquet",
        "quarantine.csv",
        "SHA256SUMS",
        "ensemble.json",
        "metrics.json",
        "weights.safetensors",
        "history.csv",
        "oof.parquet",
        "report.html",
    } <= names_in_layout()
    assert set(literals("run/layout.py")) >= FOLDERS


@pytest.mark.parametrize("module", MODULES)
def test_no_run_file_name_outside_layout(module: str) -> None:
    """Use the constant or the property of run/layout.py instead."""
    names = names_in_layout()
    found = {text for text in literals(module) if text.strip("/") in names}
    assert {text for text in found if (module, text) not in OTHER_MEANINGS} == set()


def test_other_meanings_are_current() -> None:
    for module, text in OTHER_MEANINGS:
        assert text in literals(module)


OF_OTHER_FOLDERS = {
    layout.ABLATION_TABLE,
    layout.ABLATION_TEXT,
    layout.CLASSES,
    layout.INDEX_PAGE,
    layout.SAME_SCENES,
    layout.SCAN_PAGE,
}


def test_module_documents_every_name() -> None:
    text = (layout.__doc__ or "").replace("epoch-020", "epoch-")
    for name in names_in_layout() - OF_OTHER_FOLDERS:
        assert name in text


def test_fold_files_are_in_its_folder(tmp_path: Path) -> None:
    files = FoldFiles(tmp_path / "fold-2")
    paths = [
        files.weights,
        files.student,
        files.initial,
        files.state,
        files.previous_state,
        files.history,
        files.costs,
        files.oof,
        files.tensorboard,
        files.epoch(20),
    ]
    assert len(set(paths)) == len(paths)
    assert all(path.is_relative_to(files.folder) for path in paths)
    assert files.epoch(20).name == "epoch-020.safetensors"


def test_fold_has_ended_with_weights_and_oof(tmp_path: Path) -> None:
    files = FoldFiles(tmp_path)
    assert not files.ended
    files.weights.touch()
    assert not files.ended
    files.oof.touch()
    assert files.ended


@pytest.mark.parametrize(
    ("path", "needed"),
    [
        ("recipe.toml", True),
        ("fold-0/weights.safetensors", True),
        ("fold-0/oof.parquet", True),
        ("fold-0/initial.safetensors", False),
        ("fold-0/start.parquet", False),
        ("trials/heads-224/fold-0/weights.safetensors", False),
        ("fold-0/epoch-020.safetensors", False),
        ("fold-0/last/state.safetensors", False),
        ("fold-0/tensorboard/events.1", False),
        ("labels/fixes.csv", True),
    ],
)
def test_files_needed_for_prediction(path: str, needed: bool) -> None:
    assert needed_for_prediction(path) is needed


def test_lock_is_exclusive_until_released(tmp_path: Path) -> None:
    lock = lock_folder(tmp_path / "new", "is training it")
    with pytest.raises(RunError, match="new: another process is training it"):
        lock_folder(tmp_path / "new", "is training it")
    lock.release()
    FoldFiles(tmp_path / "new").lock().release()


def test_lock_where_a_file_is_in_the_way(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(RunError, match="cannot be locked"):
        lock_folder(tmp_path / "file", "is training it")


def test_lock_that_is_a_link_is_refused(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("must stay")
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with pytest.raises(RunError, match=r"\.lock: is a link"):
        lock_folder(tmp_path, "is training it")
    assert (tmp_path / "victim").read_text() == "must stay"


def test_file_system_without_locks_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    fcntl = pytest.importorskip("fcntl", reason="Windows has other locks")

    def flock(*_: object) -> None:
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr(fcntl, "flock", flock)
    lock_folder(tmp_path, "is training it").release()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "has no locks" in lines[0]
