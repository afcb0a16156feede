"""Every name of an earlier version gets one line that says the new one."""

from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest

from bestiary.errors import DamagedError, RecipeError, RunError
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe, options
from bestiary.renamed import COLUMNS, OPTIONS, RECIPE_KEYS, RECIPE_VALUES, RUN_FILES, renamed_column
from bestiary.run.layout import RECIPE
from bestiary.run.run import Run
from bestiary.run.tables import TEXT, read_table, write_table

# A command that takes the new option, for each old one.
COMMANDS = {
    "--fold": ["train", "data", "run"],
    "--held": ["ablate", "data", "run", "--vary", "train.epochs=1"],
    "--hold-out": ["distill", "run", "student"],
    "--max-pictures": ["serve", "run"],
    "--on": ["train", "data", "run"],
    "--over": ["ablate", "data", "run"],
    "--views": ["predict", "run", "images", "--out", "p.csv"],
}


def override(key: str) -> str:
    """Of a whole section, any key of it."""
    return f"{key if '.' in key else f'{key}.lr'}=1"


@pytest.mark.parametrize("old", OPTIONS)
def test_old_option(old: str, fails: Callable[..., str]) -> None:
    line = fails(*COMMANDS[old], old, "1")
    assert line == (
        f"bestiary: {old} is called {OPTIONS[old]} now; see bestiary {COMMANDS[old][0]} --help"
    )
    assert OPTIONS[old] not in OPTIONS, "the new name is not an old one"


@pytest.mark.parametrize("old", OPTIONS)
def test_new_option_exists(old: str, capsys: pytest.CaptureFixture[str]) -> None:
    from bestiary.cli import main

    assert main([COMMANDS[old][0], "--help-all"]) == 0
    assert f"{OPTIONS[old]} " in capsys.readouterr().out


@pytest.mark.parametrize("old", RECIPE_KEYS)
def test_old_recipe_key(old: str) -> None:
    new = RECIPE_KEYS[old]
    with pytest.raises(RecipeError) as failure:
        load_recipe("fast", [override(old)])
    assert str(failure.value) == f"fast: {old} is called {new} now"
    assert new in {option.name for option in options()} | set(Recipe.model_fields)


@pytest.mark.parametrize("old", RECIPE_KEYS)
def test_old_recipe_key_in_a_file(old: str, tmp_path: Path) -> None:
    section, _, key = override(old).removesuffix("=1").partition(".")
    (tmp_path / "old.toml").write_text(f"[{section}]\n{key} = 1\n")
    with pytest.raises(RecipeError, match=f"is called {RECIPE_KEYS[old]} now"):
        load_recipe(tmp_path / "old.toml")


@pytest.mark.parametrize(("key", "old"), RECIPE_VALUES)
def test_old_recipe_value(key: str, old: str) -> None:
    new = RECIPE_VALUES[key, old]
    with pytest.raises(RecipeError) as failure:
        load_recipe("fast", [f"{key}={old}"])
    assert str(failure.value) == f"fast: {key} = {old!r} is called {new!r} now"
    load_recipe("fast", [f"{key}={new}"])


@pytest.mark.parametrize("old", COLUMNS)
@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_old_column(old: str, suffix: str, tmp_path: Path) -> None:
    file = tmp_path / f"old{suffix}"
    write_table(file, pl.DataFrame({"path": ["a.jpg"], old: ["x"]}))
    with pytest.raises(DamagedError) as failure:
        read_table(file, {"path": TEXT, COLUMNS[old]: TEXT})
    assert str(failure.value) == (
        f"{file}: cannot be read (its column {old!r} is called {COLUMNS[old]!r} now)"
    )


def test_column_with_both_names_is_fine() -> None:
    assert renamed_column(["digest", "sha256"], ["sha256"]) is None
    assert renamed_column(["digest"], ["path"]) is None


@pytest.mark.parametrize("old", RUN_FILES)
def test_old_run_file(old: str, tmp_path: Path) -> None:
    (tmp_path / RECIPE).write_text(Recipe().to_toml())
    Run.open(tmp_path)
    (tmp_path / old).touch()
    with pytest.raises(RunError) as failure:
        Run.open(tmp_path)
    assert str(failure.value) == (
        f"{tmp_path}: was written by an earlier bestiary; its {old} is called {RUN_FILES[old]} "
        "now; train it again, or use that version"
    )
