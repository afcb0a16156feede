"""Help, options and versions: complete, short where there is much, and as the code has it."""

import inspect
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch

import bestiary
from bestiary.cli import VERBS, build_app, main
from bestiary.cli.help_text import USUAL, usual_options
from bestiary.recipe.defaults import SHIPPED, default_recipe
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import options


@pytest.mark.parametrize("verb", VERBS)
def test_help_explains_every_option(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help-all"]) == 0
    text = capsys.readouterr().out
    for parameter in inspect.signature(getattr(bestiary, verb)).parameters.values():
        if parameter.name == "labels":
            continue  # of a list of paths, which only Python can give
        shown = "--set" if parameter.name == "overrides" else parameter.name.replace("_", "-")
        assert shown.lower() in text.lower()
    assert max(len(line) for line in text.splitlines()) <= 80


@pytest.mark.parametrize("verb", VERBS)
def test_summary_fits_one_line(verb: str) -> None:
    """The list of commands shows the first line of the docstring."""
    first, second, *_ = (getattr(bestiary, verb).__doc__ or "").splitlines()
    assert first.endswith(".")
    assert second == ""


@pytest.mark.parametrize("verb", VERBS)
def test_help_has_no_examples(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    main([verb, "--help"])
    text = capsys.readouterr().out
    assert "Examples" not in text
    assert ">>>" not in text
    assert "----" not in text


@pytest.mark.parametrize("verb", ["train", "ablate", "advise"])
def test_help_lists_shipped_recipes(verb: str) -> None:
    text = " ".join((getattr(bestiary, verb).__doc__ or "").split())
    names = [name for name in SHIPPED if verb != "advise" or name != "probe"]
    assert f"{', '.join(names)}, or the path of a TOML file" in text
    assert f"Default: {default_recipe('cpu')}, or {default_recipe('cuda')} where there is a" in text


def test_help_of_train_is_short(capsys: pytest.CaptureFixture[str]) -> None:
    main(["train", "--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 45
    assert max(map(len, text.splitlines())) <= 80
    assert "bestiary train --help-all" in text
    assert "bestiary options" in text


@pytest.mark.parametrize("verb", USUAL)
def test_usual_options_are_options(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Those are shown, the others are not."""
    parameters = inspect.signature(getattr(bestiary, verb)).parameters
    usual = usual_options(verb) or ()
    assert set(usual) < set(parameters)
    main([verb, "--help"])
    text = capsys.readouterr().out
    for name in set(parameters) - {"overrides", "data", "run", "images", "labels"}:
        assert (f"--{name.replace('_', '-')} " in text) == (name in usual), name


def test_help_groups_every_verb(capsys: pytest.CaptureFixture[str]) -> None:
    main(["--help"])
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split()[1] for line in lines if line.startswith("│ ") and line[2] != " "]
    assert [row for row in rows if not row.startswith("-")] == list(VERBS)
    assert len(lines) <= 55


@pytest.mark.parametrize("recipe", SHIPPED)
def test_options_are_those_of_the_recipe(recipe: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["options", "--recipe", recipe]) == 0
    text = capsys.readouterr().out
    loaded = load_recipe(recipe).model_dump(mode="json")
    for option in options():
        section, _, key = option.name.partition(".")
        assert f" {option.name} = {json.dumps(loaded[section][key])}" in text
    assert max(map(len, text.splitlines())) <= 80


def test_options_of_a_word(capsys: pytest.CaptureFixture[str], fails) -> None:  # type: ignore[no-untyped-def]
    main(["options", "gamma"])
    assert "loss.gamma" in capsys.readouterr().out
    assert "no option has this word" in fails("options", "xyzzy")


def test_version_names_what_computes(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"bestiary {bestiary.__version__}"
    assert f"torch {torch.__version__.partition('+')[0]}" in lines[2]
    assert max(map(len, lines)) <= 80


def test_twice_verbose_shows_where_an_error_is(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", str(tmp_path / "none"), "-v"]) == 2
    assert "Traceback" not in capsys.readouterr().err
    for twice in (["-vv"], ["-v", "--verbose"]):
        assert main(["show", str(tmp_path / "none"), *twice]) == 2
        lines = capsys.readouterr().err.splitlines()
        assert lines[1].startswith("Traceback")
        assert lines[-1].startswith("bestiary: ")


def test_help_does_not_import_torch() -> None:
    code = "import sys, bestiary.cli; bestiary.cli.main(['--help']); print(*sorted(sys.modules))"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "polars", "numpy", "timm", "sklearn", "cv2"} & set(loaded)


def test_place_and_month_can_be_left_out() -> None:
    _, arguments, _ = build_app("predict").parse_args(["predict", "run", "new", "--no-prior"])
    assert arguments.arguments["prior"] is False
