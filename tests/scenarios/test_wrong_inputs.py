"""Wrong values, folders, tables, recipes and runs for every verb; odd names do no harm."""

import pickle
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import wrong_input_files
import wrong_inputs

import bestiary
from bestiary.cli import main
from bestiary.data.decode import decode
from bestiary.data.fixes import read_fixes
from bestiary.errors import BestiaryError, ImageError
from bestiary.tables import escape_formulas, unescape_formulas
from harness import mutating, reading


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return dict(wrong_input_files.make_places(tmp_path_factory.mktemp("places")))


@pytest.mark.parametrize("case", wrong_inputs.CASES)
def test_wrong_input_gets_one_line(case: str, places: dict[str, Path]) -> None:
    before = sorted(places["run"].parent.rglob("*"))
    status, lines, printed = wrong_inputs.run_case(case, places)
    assert (status, printed) == (2, "")
    assert lines[-1].startswith("bestiary: ")
    assert wrong_inputs.CASES[case][1].format(**places) in lines[-1]
    assert not any("Traceback" in line for line in lines)
    after = [path for path in places["run"].parent.rglob("*") if path.name != ".lock"]
    assert sorted(after) == [path for path in before if path.name != ".lock"]


def test_document_shows_these_lines() -> None:
    rows = (
        wrong_inputs.DOCUMENT.read_text(encoding="utf-8").split(wrong_inputs.START)[1].split("\n| ")
    )
    assert [row.split(" | ")[0] for row in rows[2:]] == list(wrong_inputs.CASES)
    for row, (_, words) in zip(rows[2:], wrong_inputs.CASES.values(), strict=True):
        assert "{" in words or words.replace("|", "\\|") in row


def test_no_pickle_is_run(places: dict[str, Path]) -> None:
    assert not Path("/tmp/bestiary-was-hacked").exists()
    assert b"bestiary-was-hacked" in places["evil"].read_bytes()
    assert isinstance(pickle.dumps(wrong_input_files.Evil()), bytes)  # it would, if it were loaded


@pytest.mark.slow
def test_odd_names_do_no_harm(beasts: Path, tiny: Path, tmp_path: Path) -> None:
    data = shutil.copytree(beasts, tmp_path / "data")
    first, second, third = sorted(path for path in data.iterdir() if path.is_dir())
    first.rename(data / "=cmd()")
    second.rename(data / "new\nline \x1b[2J")
    (data / "up").symlink_to(data, target_is_directory=True)
    run = bestiary.train(data, tmp_path / "run", recipe=tiny, folds=2, quiet=True)
    assert run.read_classes() == sorted(["=cmd()", "new\nline \x1b[2J", third.name])
    bestiary.predict(run.path, data, out=tmp_path / "p.csv", quiet=True)
    table = pl.read_csv(tmp_path / "p.csv")
    assert table.height == 27
    text = (tmp_path / "p.csv").read_text()
    assert "'=cmd()" in text and "\n=cmd()" not in text and ",=cmd()" not in text
    assert (
        main(["predict", str(run.path), str(data), "--out", str(tmp_path / "p.parquet"), "--quiet"])
        == 0
    )
    assert (
        unescape_formulas(table)["label"].to_list()
        == pl.read_parquet(tmp_path / "p.parquet")["label"].to_list()
    )


def test_control_characters_are_escaped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["show", str(tmp_path / "a\x1b[2J\nb")]) == 2
    line = capsys.readouterr().err
    assert "\x1b" not in line and "\\x1b[2J\\nb" in line


def test_escape_formulas_roundtrip(tmp_path: Path) -> None:
    values = ["=1+1", "@x", "+cmd", "-cmd", "-1.5", "+3", "lynx", "", None, "-"]
    table = pl.DataFrame({"x": values, "n": range(len(values))})
    escaped = escape_formulas(table)
    assert escaped["x"].to_list() == [
        "'=1+1",
        "'@x",
        "'+cmd",
        "'-cmd",
        "-1.5",
        "+3",
        "lynx",
        "",
        None,
        "'-",
    ]
    assert unescape_formulas(escaped).equals(table)
    (tmp_path / "f.csv").write_text(
        "path,given,suggested,score,action\na.jpg,'=x,'=y,0.1,relabel\n"
    )
    assert read_fixes(tmp_path / "f.csv").row(0)[:3] == ("a.jpg", "=x", "=y")


def test_damaged_images_are_decoded_or_refused() -> None:
    seeds = mutating.seed_images(np.random.default_rng(0))
    outcomes = []
    for number in range(400):
        rng = np.random.default_rng([0, number])
        content = mutating.mutate_image(seeds[number % len(seeds)][1], rng)
        try:
            assert decode(content).dtype == np.uint8
            outcomes.append(True)
        except ImageError as error:
            assert error.reason
            outcomes.append(False)
    assert 0.05 < np.mean(outcomes) < 0.95  # both happen


@pytest.fixture
def scratch_run(places: dict[str, Path], tmp_path: Path) -> Iterator[Path]:
    run = Path(shutil.copytree(places["run"], tmp_path / "run"))
    (run / "SHA256SUMS").unlink()
    yield run


@pytest.mark.slow
@pytest.mark.parametrize("number", range(10))
def test_damaged_run_files_are_read_or_refused(number: int, scratch_run: Path) -> None:
    for reader, (name, read) in enumerate(reading.READERS):
        file = scratch_run / name
        # Tables beside a run are the benchmark's; compute.json would set the threads of all tests
        # after this one.
        if not file.exists() or name == "compute.json":
            continue
        content = file.read_bytes()
        file.write_bytes(mutating.mutate_text(content, np.random.default_rng([number, reader])))
        try:
            read(scratch_run)
        except BestiaryError as error:
            assert str(error)
        finally:
            file.write_bytes(content)
