"""`--json`: one document on standard output, for results and errors, as its page documents it."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from documented_keys import PAGE, documented, found_keys

import bestiary
from bestiary import errors
from bestiary.advising.advice import Advice, Candidate
from bestiary.advising.speeds import TrainSpeed
from bestiary.beasts.sample import draw_sample
from bestiary.cli import VERBS, main
from bestiary.cli.documents import plain, result_document
from bestiary.errors import BestiaryError
from bestiary.evaluation.ablation import AblationRow
from bestiary.evaluation.curve_text import Curve
from bestiary.recipe.load import load_recipe
from bestiary.reporting.ablation_page import Ablation
from bestiary.run.run import Run
from bestiary.stats.intervals import Interval
from bestiary.stats.learning_curve import LearningCurve
from bestiary.stats.paired import Difference

Document = Callable[..., dict[str, Any]]


@pytest.fixture
def document(capsys: pytest.CaptureFixture[str]) -> Document:
    """Runs a command with --json; returns its document, whose keys are on the page."""

    def run(*arguments: object, status: int = 0, found: set[str] | None = None) -> dict[str, Any]:
        capsys.readouterr()
        assert main([*map(str, arguments), "--json"]) == status
        text = capsys.readouterr().out
        keys = found_keys(str(arguments[0]), text)
        if found is not None:
            found |= keys
        content: dict[str, Any] = json.loads(text)
        assert content["version"] == bestiary.__version__
        return content

    return run


@pytest.fixture(scope="module")
def new(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The 27 images of the runs, and twelve of the same species that they have not seen."""
    folder = tmp_path_factory.mktemp("new") / "new"
    draw_sample(folder, species=3, per_species=13, size=48)
    return folder


def test_values_are_plain() -> None:
    @dataclass
    class Part:
        score: float

    frame = pl.DataFrame({"path": ["a.jpg"], "share": [float("nan")], "day": [date(2026, 1, 2)]})
    assert plain(frame) == [{"path": "a.jpg", "share": None, "day": "2026-01-02"}]
    assert plain(np.array([[1.5, np.inf]])) == [[1.5, None]]
    assert plain({1: Part(np.float64(0.1)), "b": np.bool_(True)}) == {
        "1": {"score": 0.1},
        "b": True,
    }
    assert type(plain(np.float32(0.5))) is float
    assert plain(Path("a") / "b") == "a/b"
    with pytest.raises(TypeError, match="has no place"):
        plain(object())


def test_full_precision() -> None:
    third = 1 / 3
    text = result_document("show", Interval(third, 0.1, 0.2))
    assert json.loads(text)["value"] == third


def test_every_verb_is_documented() -> None:
    for verb in VERBS:
        assert verb == "serve" or documented(verb)


def test_help_names_the_option(capsys: pytest.CaptureFixture[str]) -> None:
    for verb in VERBS:
        assert main([verb, "--help"]) == 0
        assert "--json" in capsys.readouterr().out


def test_drawing_scanning_sharding(tmp_path: Path, document: Document) -> None:
    images = tmp_path / "images"
    options = ["--species", 2, "--per-species", 3, "--size", 48]
    found: set[str] = set()
    assert document("sample", images, *options, found=found)["images"] == 6
    cameras = ["--cameras", 2, "--species", 2, "--per-species", 2]
    assert len(document("sample", tmp_path / "traps", *cameras, found=found)["sites"]) == 2
    assert found == documented("sample")
    (images / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    first = min(images.glob("*/*.jpg"))
    (first.parent / "broken.jpg").write_bytes(b"\xff\xd8\xff broken")
    scanned = document("scan", images, status=1)
    assert scanned["unusable"] and scanned["images"] == 6
    assert scanned["classes"][0]["images"] == 3
    assert document("shard", images, tmp_path / "shards", status=1)["shards"] == 1


def test_show(trained: Run, document: Document, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = document("show", trained.path)
    scores = trained.read_scores()
    assert scores is not None
    assert shown["accuracy"] == scores["accuracy"]
    assert shown["finished"] is True
    assert shown["recipe"]["train"]["epochs"] == 2
    monkeypatch.chdir(trained.path.parent)
    listed = document("show")
    assert listed["runs"][0]["accuracy"]["n"] == 27


def test_options_schema_cache(document: Document) -> None:
    (option,) = document("options", "gamma")["options"]
    assert (option["name"], option["value"]) == ("loss.gamma", 2.0)
    assert "$defs" in document("schema")["schema"]
    assert document("cache")["bytes"] >= 0


@pytest.mark.slow
def test_training(trained: Run, beasts: Path, tmp_path: Path, document: Document) -> None:
    run = shutil.copytree(trained.path, tmp_path / "run")
    shown = document("train", beasts, run, "--resume")
    assert shown["accuracy"]["value"] == pytest.approx(trained.read_scores()["accuracy"]["value"])
    options = [
        "--set",
        "model.backbone=timm/test_resnet",
        "model.weights=none",
        "model.head=random",
        "train.epochs=1",
    ]
    more = ["model.freeze=0", "view.size=32", "--recipe", "fast", "--folds", "2", "--dry-run"]
    planned = document("train", beasts, tmp_path / "new", *options, *more)
    assert planned["plan"]["images"] == 27
    assert planned["plan"]["seconds"] > 0
    assert not (tmp_path / "new").exists()


@pytest.mark.slow
def test_judging(small: Run, trained: Run, new: Path, tmp_path: Path, document: Document) -> None:
    run = shutil.copytree(small.path, tmp_path / "run")
    assert document("report", run, "--no-saliency")["files"] == [str(run / "report.html")]
    assert document("report", tmp_path)["runs"] == 1
    compared = document("compare", small.path, trained.path)
    assert [one["difference"] is None for one in compared["runs"]] == [True, False]
    joined = document("join", small.path, trained.path, tmp_path / "joined")
    assert sum(part["share"] for part in joined["parts"]) == pytest.approx(1)
    evaluated = document("evaluate", run, new)
    assert evaluated["n"] == 12
    pytest.importorskip("cleanlab", reason="extra `audit` is not installed")
    assert document("labels", run)["page"] == str(run / "labels" / "labels.html")


@pytest.mark.slow
def test_using(small: Run, new: Path, tmp_path: Path, document: Document) -> None:
    broken = shutil.copytree(new, tmp_path / "new")
    (broken / "bad.jpg").write_bytes(b"\xff\xd8\xff broken")
    predicted = document("predict", small.path, broken, status=1)
    assert predicted["images"] == 40 and predicted["unread"] == 1
    assert [row["error"] is None for row in predicted["predictions"]].count(False) == 1
    table = tmp_path / "p.csv"
    written = document("predict", small.path, new, "--out", table)
    assert written["files"] == [str(table)] and written["predictions"] is None
    assert document("next", small.path, new, "--count", 2)["total"] == 12
    assert document("drift", small.path, new)["drift"]["can_tell"] is False
    counted = document("count", small.path, new, "--despite-drift")
    assert sum(row["images"] for row in counted["classes"]) == pytest.approx(12)


@pytest.mark.slow
def test_exporting(small: Run, tmp_path: Path, document: Document) -> None:
    pytest.importorskip("onnx", reason="extra `export` is not installed")
    exported = document("export", small.path, tmp_path / "model.onnx")
    assert exported["card"]["classes"] == small.read_classes()


def test_ablation() -> None:
    difference = Difference(0.1, 0.0, 0.2, 3, 1, 0.04)
    rows = [
        AblationRow("base", "out of fold", 1, 30, 0.8, None),
        AblationRow("x=1", "out of fold", 1, 30, 0.9, difference),
    ]
    text = result_document("ablate", Ablation(rows, {"base": 1.0, "x=1": None}, []))
    found_keys("ablate", text)
    assert json.loads(text)["rows"][1]["difference"]["p"] == 0.04


def test_advice() -> None:
    groups = np.arange(50)
    speed = TrainSpeed(0.1, 0.01, 0.001)
    good = Candidate(load_recipe("fast"), speed, 0.002, groups < 40)
    without = Candidate(load_recipe("fast"), speed, 0.002, None)
    advice = Advice(Path("images"), 90, groups, [good, without], 60.0, None, good, "fast")
    text = result_document("advise", advice)
    found_keys("advise", text)
    content = json.loads(text)
    assert content["recommended"]["accuracy"]["value"] == 0.8
    assert content["candidates"][1]["accuracy"] is None
    assert content["command"].startswith("bestiary train images RUN --recipe fast --set ")
    nothing = json.loads(result_document("advise", replace(advice, chosen=None)))
    assert nothing["recommended"] is None and nothing["command"] is None


def test_curve() -> None:
    hits = np.array([[[3, 4], [4, 4], [5, 5]], [[2, 4], [4, 4], [4, 5]]])
    shares, sizes = np.array([0.25, 0.5, 1]), np.array([5.0, 10, 20])
    curve = LearningCurve.of(shares, sizes, hits, np.array([[6, 6], [6, 6]]))
    text = result_document("curve", Curve(curve, ["lynx", "wolf"], "run"))
    assert found_keys("curve", text) == documented("curve")
    assert [size["share"] for size in json.loads(text)["sizes"]] == [0.25, 0.5, 1]


ERRORS = {
    "no run": (["show", "{new}"], "show", "RunError"),
    "no option": (["show", "x", "--fast"], "show", "UsageError"),
    "no verb": (["trian"], None, "UsageError"),
    "empty": (["show", ""], "show", "ArgumentError"),
    "no end": (["serve", "{new}"], "serve", "ArgumentError"),
    "watching": (["predict", "{new}", "{new}", "--watch"], "predict", "ArgumentError"),
}


@pytest.mark.parametrize("case", ERRORS)
def test_errors_are_documents(
    case: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments, verb, kind = ERRORS[case]
    places = [argument.format(new=tmp_path / "new") for argument in arguments]
    assert main([*places, "--json"]) == 2
    printed = capsys.readouterr()
    (line,) = printed.err.splitlines()
    content = json.loads(printed.out)
    assert content["verb"] == verb
    assert content["error"]["kind"] == kind
    assert content["error"]["exit_code"] == 2
    assert line == f"bestiary: {content['error']['message']}"


def test_kinds_of_errors_are_documented() -> None:
    def below(kind: type[Exception]) -> set[str]:
        return {kind.__name__}.union(*map(below, kind.__subclasses__()))

    page = PAGE.read_text(encoding="utf-8")
    own = {name for name in below(BestiaryError) if hasattr(errors, name)}
    assert own and all(f"`{name}`" in page for name in own)


def test_defects_and_signals(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(error: BaseException) -> None:
        def measure() -> None:
            raise error

        monkeypatch.setattr("bestiary.caches.measure_cache", measure)

    fail(KeyboardInterrupt())
    assert main(["cache", "--json"]) == 130
    assert json.loads(capsys.readouterr().out)["error"]["kind"] == "Interrupted"
    fail(ZeroDivisionError("by zero"))
    with pytest.raises(ZeroDivisionError):
        main(["cache", "--json"])
    error = json.loads(capsys.readouterr().out)["error"]
    assert (error["kind"], error["exit_code"]) == ("Defect", 70)


def test_first_rank_alone_prints(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RANK", "2")
    monkeypatch.setenv("LOCAL_RANK", "1")
    assert main(["cache", "--json"]) == 0
    assert main(["cache", "-v"]) == 0
    assert main(["show", "/no/run", "--json"]) == 2
    assert capsys.readouterr() == ("", "")
    monkeypatch.setenv("LOCAL_RANK", "0")  # the first of a second machine
    assert main(["show", "/no/run"]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("bestiary: /no/run: no such run")


def test_nothing_else_on_stdout() -> None:
    """Neither what Python prints nor what a library or a child process writes to descriptor 1."""
    code = (
        "import os, subprocess, sys\n"
        "import bestiary.caches as caches\n"
        "measure = caches.measure_cache\n"
        "def noisy():\n"
        "    print('printed')\n"
        "    os.write(1, b'written\\n')\n"
        "    subprocess.run([sys.executable, '-c', 'print(\"child\")'])\n"
        "    return measure()\n"
        "caches.measure_cache = noisy\n"
        "from bestiary.cli import main\n"
        "sys.exit(main(['cache', '--json']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["verb"] == "cache"
    assert done.stderr.split() == ["printed", "written", "child"]
