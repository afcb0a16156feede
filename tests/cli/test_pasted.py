"""Commands that verbs print work as they are printed: names with spaces, tables, open runs."""

import re
import shlex
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

import bestiary
from bestiary.cli import main
from bestiary.ensemble.caveats import missing_members
from bestiary.errors import BestiaryError
from bestiary.evaluation.labels import listed_words, review_labels
from bestiary.run.layout import METRICS
from bestiary.run.run import Run

COMMAND = re.compile(r"bestiary (?: ?(?:'[^']*'|[^\s;,()'])+)+")


def pasted(text: object) -> list[list[str]]:
    """The words of each command in a text, as a shell would read them."""
    commands = [shlex.split(match[0]) for match in COMMAND.finditer(str(text))]
    assert commands, text
    return [words[1:] for words in commands]


@pytest.fixture
def spaced(
    trained: Run, beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> bestiary.Run:
    """A finished run with a space in its name, in the current folder, beside its images."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(trained.path, "my run")
    shutil.copytree(beasts, "my images")
    return bestiary.Run.open("my run")


@pytest.fixture
def unfinished(spaced: bestiary.Run) -> bestiary.Run:
    """The same, whose last fold has not ended."""
    spaced.file(METRICS).unlink()
    shutil.rmtree(spaced.fold(2).folder)
    return spaced


def error_of(function: Callable[..., object], *arguments: object) -> str:
    with pytest.raises(BestiaryError) as raised:
        function(*arguments)
    return str(raised.value)


@pytest.mark.parametrize(
    ("verb", "said"),
    [
        ("labels", lambda run: str(run)),
        ("report", lambda run: bestiary.show(run.path)),
        ("predict", lambda run: bestiary.show(run.path)),
        ("evaluate", lambda run: bestiary.show(run.path)),
        ("train", lambda run: error_of(bestiary.train, "my images", run.path)),
    ],
)
def test_run_with_a_space(verb: str, said: Callable[[Run], object], spaced: bestiary.Run) -> None:
    (words,) = [words for words in pasted(said(spaced)) if words[0] == verb]
    assert "my run" in words


def test_images_with_a_space(spaced: bestiary.Run, tmp_path: Path) -> None:
    page, probe = pasted(bestiary.scan("my images", quiet=True))
    assert page == ["scan", "my images", "--out", "FOLDER"]
    assert probe == ["probe", "my images", "RUN"]


def test_missing_run_with_a_space(spaced: bestiary.Run) -> None:
    assert pasted(error_of(bestiary.show, "no run")) == [["train", "DATA", "no run"]]


def test_swapped_names_with_spaces(spaced: bestiary.Run, fails: Callable[..., str]) -> None:
    assert pasted(fails("predict", "my images", "my run")) == [["predict", "my run", "my images"]]


def test_members_that_are_missing(spaced: bestiary.Run) -> None:
    ensemble: Any = SimpleNamespace(folds=[0, 1], calibration=None)
    line = missing_members(spaced, ensemble)
    assert pasted(line) == [["train", "DATA", "my run", "--resume"]]


def test_open_run_goes_on_as_printed(unfinished: bestiary.Run) -> None:
    (command,) = pasted(bestiary.show(unfinished.path))
    assert command[2:] == ["my run", "--resume"]
    assert main([*command, "--quiet"]) == 0
    assert unfinished.score_line is not None


def test_scan_says_how_images_were_listed(
    beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without the option the next command would be refused: the folders have two readings."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(beasts, "north/a", ignore=shutil.ignore_patterns("truth.csv"))
    shutil.copytree(beasts, "south/a", ignore=shutil.ignore_patterns("truth.csv"))
    for folder in ("north", "south"):
        shutil.move(next(Path(folder, "a").iterdir()), Path(folder, "b"))
    data = Path("both")
    data.mkdir()
    shutil.move("north", data)
    shutil.move("south", data)
    assert "in two ways" in error_of(bestiary.scan, data)
    overrides = ["data.layout=class"]
    found = bestiary.scan(data, overrides=overrides, out="out", quiet=True)
    for words in pasted(str(found).splitlines()[-1]):
        assert words == ["probe", "both", "RUN", "--set", *overrides]
    page = Path("out/scan.html").read_text(encoding="utf-8")
    assert f"bestiary probe {data.resolve()} RUN --set data.layout=class" in page


def test_scan_of_a_table_leads_to_the_table(
    beasts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    table = flat_table(beasts, tmp_path)
    bestiary.scan(table, out=tmp_path / "out", quiet=True)
    page = (tmp_path / "out" / "scan.html").read_text(encoding="utf-8")
    assert f"bestiary probe {table} RUN" in page


def flat_table(beasts: Path, folder: Path) -> Path:
    """Put all images into one folder, and name them in a table."""
    images = folder / "flat"
    images.mkdir()
    rows = []
    for number, file in enumerate(sorted(beasts.glob("*/*.jpg"))):
        shutil.copyfile(file, images / f"{number}.jpg")
        rows.append((f"flat/{number}.jpg", file.parent.name))
    table = folder / "labels.csv"
    pl.DataFrame(rows, schema=["path", "label"], orient="row").write_csv(table)
    return table


@pytest.mark.parametrize("is_decided", [False, True], ids=["first", "again"])
def test_fixes_of_a_table_train_as_printed(
    is_decided: bool,
    beasts: Path,
    tiny: Path,
    tmp_path: Path,
    pretend_run: Callable[..., Run],
) -> None:
    table = flat_table(beasts, tmp_path)
    row = pl.read_csv(table).row(0, named=True)
    fixes = tmp_path / "fixes.csv"
    kept = pl.DataFrame([{**row, "given": row["label"], "action": "relabel"}])
    classes = pl.read_csv(table)["label"].unique().sort()
    kept = kept.with_columns(suggested=pl.lit(classes[-1]), score=pl.lit(0.1)).drop("label")
    kept.write_csv(fixes)
    run = pretend_run(table, tmp_path / "run", fixes if is_decided else None)
    report = review_labels(run, tmp_path / "labels")
    report.write()
    (words,) = pasted(report.command(tmp_path / "labels" / "fixes.csv"))
    if is_decided:
        assert words[1] == "TABLE", "the run's own table has the labels after its fixes"
        words[1] = str(table)
    else:
        words[-1] = str(fixes)
    options = ["--recipe", str(tiny), "--folds", "2", "--dry-run", "--quiet"]
    assert main([*words, *options]) == 0


def test_options_of_a_run(spaced: bestiary.Run) -> None:
    found = bestiary.options("size", recipe=spaced)
    assert found.values["view.size"] == "32"


def test_labels_of_a_run_in_two_ways(spaced: bestiary.Run) -> None:
    """The layout that the run was told is told again."""
    snapshot = spaced.load()
    recipe = snapshot.recipe.with_values({"data.layout": "class"})
    assert listed_words(replace(snapshot, recipe=recipe))[1:] == ["--set", "data.layout=class"]
    assert len(listed_words(snapshot)) == 1


@pytest.mark.parametrize("has_card", [False, True])
def test_license_of_a_card_that_is_there(
    has_card: bool, spaced: bestiary.Run, capsys: pytest.CaptureFixture[str]
) -> None:
    """A card that exists is not written again, so it is not asked for."""
    if has_card:
        bestiary.report(spaced, format="card", quiet=True)
    capsys.readouterr()
    bestiary.push(spaced, "hf://ecologist/moths", dry_run=True, quiet=True)
    said = capsys.readouterr().err.replace("\n", " ")
    assert "edit my run/README.md" in said
    assert ("bestiary report 'my run' --format card" in said) is not has_card


def test_table_of_a_run_that_exists(spaced: bestiary.Run, beasts: Path, tmp_path: Path) -> None:
    """A table is no folder; its run knows where the images are."""
    table = flat_table(beasts, tmp_path)
    assert "no curve can be made" in error_of(bestiary.curve, table, spaced)
    assert error_of(bestiary.curve, "none.csv", spaced).startswith("none.csv: no such folder or")


@pytest.mark.parametrize("verb", ["predict", "drift", "next", "count"])
def test_what_new_images_may_be(verb: str, spaced: bestiary.Run) -> None:
    """Lists and columns of paths are new images; a run is none."""
    call = getattr(bestiary, verb)
    assert "is a run, not a folder of images" in error_of(call, spaced, spaced)
    paths = sorted(Path("my images").glob("*/*.jpg"))[:2]
    for images in (paths, pl.Series(map(str, paths)), np.array(list(map(str, paths)))):
        if verb == "predict":
            assert bestiary.predict(spaced, images, quiet=True).table.height == 2
        else:
            assert "trained on all of these images" in error_of(call, spaced, images)


def test_ensemble_names_a_run_by_its_place(spaced: bestiary.Run) -> None:
    assert error_of(bestiary.load(spaced).predict, spaced).startswith("my run: is a folder; pass")
