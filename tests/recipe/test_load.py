"""Recipes: shipped ones, TOML, overrides, unknown keys, and a description of every option."""

import re
from importlib import resources
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bestiary.errors import RecipeError
from bestiary.recipe.defaults import (
    DEFAULT_RECIPE,
    DEFAULT_RECIPE_ON,
    SHIPPED,
    default_recipe,
    shipped_text,
)
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe, options


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_comment_has_command_and_cost(name: str) -> None:
    opening = shipped_text(name).split("\n\n")[0]
    command = "probe DATA RUN" if name == "probe" else f"train DATA RUN --recipe {name}"
    assert opening.startswith(f"# bestiary {command}\n")
    assert "Cost" in opening
    assert "Expect" in opening


@pytest.mark.parametrize("name", SHIPPED)
def test_toml_roundtrip(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml())
    assert load_recipe(file) == recipe
    for option in options():
        assert re.search(rf"^{option.name.partition('.')[2]} = ", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("device", "name"), [("cuda", "best-gpu"), ("mps", "best"), ("cpu", "best")]
)
def test_default_recipe_by_device(device: str, name: str) -> None:
    assert default_recipe(device) == name
    recipe = load_recipe(name)
    assert recipe.model.backbone.startswith(
        "timm/seresnextaa101d" if device == "cuda" else "offline/"
    )
    both = load_recipe("best").differences(load_recipe("best-gpu"))
    assert sorted(both) == [
        "model.backbone",
        "optimizer.lr",
        "train.batch_growth",
        "view.eval_scale",
        "view.size",
    ], "the same parts"


def test_probe_matches_best() -> None:
    """So the features of one serve the other."""
    best = load_recipe("best")
    probe = load_recipe("probe")
    assert probe.view == best.view.model_copy(update={"augment": "none"}), "views of training only"
    assert (probe.predict, probe.loss) == (best.predict, best.loss)
    assert probe.model == best.model.model_copy(update={"freeze_norms": False, "head": "auto"})


def test_recipe_is_frozen() -> None:
    with pytest.raises(ValidationError):
        load_recipe("fast").train.epochs = 9  # type: ignore[misc]


def test_override_values() -> None:
    recipe = load_recipe(
        "fast",
        [
            "train.epochs=7",
            "view.scale=[0.2, 0.9]",
            "model.weights=DEFAULT",
            'model.backbone="timm/x"',
            "train.keep_best=true",
        ],
    )
    assert (recipe.train.epochs, recipe.view.scale, recipe.model.weights) == (
        7,
        (0.2, 0.9),
        "DEFAULT",
    )
    assert (recipe.model.backbone, recipe.train.keep_best) == ("timm/x", True)


def test_last_override_wins() -> None:
    recipe = load_recipe("paper", ["train.epochs=1", "train.epochs=2"])
    assert load_recipe("paper").differences(recipe) == ["train.epochs"]
    assert recipe.train.epochs == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("train = 3", "train = 3"),
        ("[train]\nepochs = true", "train.epochs"),
        ("[train]\nepochs = nan", "train.epochs"),
        ("[optimizer]\nlr = inf", "optimizer.lr"),
        ("[optimizer]\nlr = -1e-4", "optimizer.lr = -0.0001"),
        ("[optimzer]\nlr = 1e-4", "did you mean optimizer?"),
        ("[mix]\nprobability = 1.5", "mix.probability = 1.5"),
        ("[view]\nscale = [0.5]", "view.scale"),
        ("[view\nsize = 3", "is not TOML"),
        ("lr = 3", "lr is not an option"),
    ],
)
def test_wrong_recipe_names_the_key(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(RecipeError) as failure:
        load_recipe(file)
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


@given(st.text(max_size=40))
def test_any_override_is_taken_or_refused(text: str) -> None:
    try:
        assert isinstance(load_recipe("fast", [text]), Recipe)
    except RecipeError as error:
        assert str(error)


def test_every_option_has_a_description() -> None:
    listed = list(options())
    assert len(listed) == len({option.name for option in listed})
    for option in listed:
        assert len(option.description) > 10, option.name


def test_with_values_copies_the_recipe() -> None:
    recipe = load_recipe("fast")
    changed = recipe.with_values({"train.seed": 3, "train.epochs": 9, "view.size": 64})
    assert sorted(changed.differences(recipe)) == ["train.epochs", "train.seed", "view.size"]
    assert recipe == load_recipe("fast")


def test_shipped_files_and_names_agree() -> None:
    folder = resources.files("bestiary.recipe") / "shipped"
    assert {file.name for file in folder.iterdir()} == {f"{name}.toml" for name in SHIPPED}
    assert {DEFAULT_RECIPE, *DEFAULT_RECIPE_ON.values()} <= set(SHIPPED)


def test_shipped_comments_fit_the_screen() -> None:
    for name in SHIPPED:
        assert max(len(line) for line in shipped_text(name).splitlines()) <= 100
