"""A run from elsewhere: its recorded folder is not opened; --data names it; changed images go."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

import bestiary
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import BestiaryError, DataError
from bestiary.run.run import Run
from bestiary.serving.explaining import SimilarImages

IMAGE = "data:image/jpeg"


@pytest.fixture
def stranger(trained: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A finished run, on a machine where nobody has named its images."""
    monkeypatch.setenv("BESTIARY_STATE", str(tmp_path / "state"))
    return Path(shutil.copytree(trained.path, tmp_path / "stranger"))


def write_report(run: Path, out: Path, data: Path | None = None) -> str:
    bestiary.report(run, out=out, data=data, no_saliency=True, quiet=True)
    return out.read_text(encoding="utf-8")


def test_report_has_no_images_and_says_why_once(
    stranger: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert IMAGE not in write_report(stranger, tmp_path / "r.html")
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "names no place to read from; add --data FOLDER" in lines[0]


def test_report_has_images_of_the_named_folder(
    stranger: Path, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert IMAGE in write_report(stranger, tmp_path / "r.html", beasts)
    assert capsys.readouterr().err == ""


def test_changed_images_are_left_out_and_counted(
    stranger: Path, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = tmp_path / "data"
    shutil.copytree(beasts, data)
    for file in data.rglob("*.jpg"):
        file.write_bytes(file.read_bytes() + b" ")
    assert IMAGE not in write_report(stranger, tmp_path / "r.html", data)
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert "have changed since the run was begun" in lines[0]


def test_labels_and_compare_follow_the_same_rule(
    stranger: Path, trained: Run, beasts: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bestiary.labels(stranger, out=tmp_path / "labels")
    bestiary.compare(stranger, trained.path, out=tmp_path / "compare")
    for page in (tmp_path / "labels" / "labels.html", tmp_path / "compare" / "compare.html"):
        assert IMAGE not in page.read_text(encoding="utf-8")
    bestiary.labels(stranger, out=tmp_path / "named", data=beasts)
    suspects = bestiary.labels(stranger, out=tmp_path / "again").undecided.height
    page = (tmp_path / "named" / "labels.html").read_text(encoding="utf-8")
    assert (IMAGE in page) == (suspects > 0)


def test_show_prints_the_recorded_folder_without_opening_it(stranger: Path) -> None:
    assert "as the run says" in str(bestiary.show(stranger))


def test_serve_shows_no_training_images(stranger: Path) -> None:
    run = Run.open(stranger)
    with pytest.raises(BestiaryError, match="--data FOLDER"):
        SimilarImages.of(run, Ensemble.load(run, engine="torch"))


def test_distill_needs_the_folder(stranger: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="--data FOLDER"):
        bestiary.distill(stranger, tmp_path / "student", quiet=True)
    assert not (tmp_path / "student").exists()


def test_evaluate_says_what_it_cannot_look_for(
    stranger: Path,
    beasts: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("BESTIARY_CACHE", str(tmp_path / "cache"))
    first = sorted(path for path in beasts.iterdir() if path.is_dir())[0]
    new = tmp_path / "new" / first.name
    new.mkdir(parents=True)
    content = next(first.glob("*.jpg")).read_bytes()
    (new / "1.jpg").write_bytes(content + b" ")
    with pytest.raises(DataError, match="the same pixels"):
        bestiary.evaluate(stranger, tmp_path / "new", quiet=True)
    assert "Near duplicates of 27 training images are not looked for" in capsys.readouterr().err


def test_resuming_with_the_folder_names_it(
    stranger: Path, beasts: Path, tmp_path: Path, fails: Callable[..., str]
) -> None:
    other = tmp_path / "other"
    shutil.copytree(beasts, other)
    assert "was begun with the images in" in fails("train", other, stranger, "--resume")
    assert Run.open(stranger).named_root() == ""
    bestiary.train(beasts, stranger, resume=True, quiet=True)
    assert Run.open(stranger).named_root() == str(beasts)
    assert IMAGE in write_report(stranger, tmp_path / "r.html")


def test_table_of_a_strangers_recipe_does_not_choose_the_folder(
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    fails: Callable[..., str],
) -> None:
    """With a table for DATA, data.root of the run's recipe is the stranger's word."""
    table = tmp_path / "table.csv"
    names = [path.relative_to(beasts) for path in sorted(beasts.rglob("*.jpg"))]
    table.write_text("path,label\n" + "".join(f"{name},{name.parent}\n" for name in names))
    root = f"data.root={beasts}"
    run = tmp_path / "run"
    options = [root, "train.epochs=1"]
    bestiary.train(table, run, recipe=tiny, overrides=options, folds=2, quiet=True)
    monkeypatch.setenv("BESTIARY_STATE", str(tmp_path / "state"))
    assert "--set data.root=FOLDER" in fails("train", table, run, "--resume")
    bestiary.train(table, run, overrides=[root], resume=True, quiet=True)
    bestiary.train(table, run, resume=True, quiet=True)
