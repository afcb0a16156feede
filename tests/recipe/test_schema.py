"""The JSON Schema of recipes: valid, complete, and as strict as the recipes themselves."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from bestiary.cli import main
from bestiary.errors import RecipeError
from bestiary.recipe.defaults import SHIPPED, shipped_text
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe, options
from bestiary.recipe.schema import recipe_schema

jsonschema = pytest.importorskip("jsonschema", reason="jsonschema is not installed")
SCHEMA = recipe_schema().schema
CHECK = jsonschema.Draft202012Validator(SCHEMA)


def property_of(name: str) -> dict[str, Any]:
    section, _, key = name.partition(".")
    definition = SCHEMA["properties"][section]["$ref"].rpartition("/")[2]
    found: dict[str, Any] = SCHEMA["$defs"][definition]["properties"][key]
    return found


def test_schema_is_valid() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    assert SCHEMA["$schema"] == "https://json-schema.org/draft/2020-12/schema"


def test_every_option_is_described() -> None:
    for option in options():
        described = property_of(option.name)
        assert described["description"] == option.description
        assert json.dumps(described["default"]) == option.default
        assert {"type", "enum", "anyOf", "prefixItems", "const"} & set(described), option.name


def test_ranges_and_choices() -> None:
    assert property_of("train.ema")["exclusiveMaximum"] == 1
    assert property_of("train.batch_size")["minimum"] == 1
    assert property_of("predict.tta")["enum"] == [1, 2, 5]
    assert property_of("track.to")["items"]["enum"] == ["mlflow", "trackio", "wandb"]


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_recipes_pass(name: str) -> None:
    CHECK.validate(tomllib.loads(shipped_text(name)))
    CHECK.validate(load_recipe(name).model_dump(mode="json"))


WRONG = {
    "no such section": {"trian": {"epochs": 3}},
    "no such option": {"train": {"epoch": 3}},
    "too small": {"train": {"batch_size": 0}},
    "too large": {"view": {"size": 4000}},
    "between": {"view": {"size": 7}},
    "text for a number": {"train": {"epochs": "lots"}},
    "a part of a number": {"train": {"epochs": 1.5}},
    "no choice": {"loss": {"kind": "hinge"}},
    "no choice of numbers": {"predict": {"tta": 3}},
    "one of two": {"view": {"scale": [0.5]}},
    "three of two": {"view": {"scale": [0.5, 0.6, 0.7]}},
    "no tracker": {"track": {"to": ["tensorboard"]}},
    "a section that is none": {"train": 3},
}


@pytest.mark.parametrize("case", WRONG)
def test_wrong_recipes_fail(case: str) -> None:
    """Those that the schema refuses are those that bestiary refuses."""
    assert list(CHECK.iter_errors(WRONG[case]))
    with pytest.raises(RecipeError):
        Recipe.parse(WRONG[case])


def test_schema_is_printed_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["schema"]) == 0
    assert json.loads(capsys.readouterr().out) == SCHEMA


def test_file_of_an_editor(tmp_path: Path) -> None:
    """The directive is a comment of TOML."""
    file = tmp_path / "recipe.toml"
    file.write_text("#:schema recipe.schema.json\n[train]\nepochs = 3\n")
    assert load_recipe(file).train.epochs == 3
