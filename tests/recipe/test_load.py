"""Recipes: said once, every value resolved, nothing unknown."""

import re
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from bestiary.errors import RecipeError
from bestiary.recipe.defaults import SHIPPED, shipped_text
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Recipe, options
from bestiary.training import request as start


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_recipe_opens_with_its_command_its_cost_and_what_to_expect(name: str) -> None:
    opening = shipped_text(name).split("\n\n")[0]
    command = "probe DATA RUN" if name == "probe" else f"train DATA RUN --recipe {name}"
    assert opening.startswith(f"# bestiary {command}\n")
    assert "Cost" in opening
    assert "Expect" in opening


@pytest.mark.parametrize("name", SHIPPED)
def test_toml_gives_the_same_recipe_again(name: str, tmp_path: Path) -> None:
    recipe = load_recipe(name)
    file = tmp_path / "recipe.toml"
    file.write_text(recipe.to_toml())
    assert load_recipe(file) == recipe
    for option in options():
        assert re.search(rf"^{option.name.partition('.')[2]} = ", file.read_text(), re.MULTILINE)


@pytest.mark.parametrize(
    ("device", "name"), [("cuda", "best-gpu"), ("mps", "best"), ("cpu", "best")]
)
def test_the_default_suits_the_machine(
    device: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(start, "best_device", lambda: torch.device(device))
    recipe = load_recipe(start.default_recipe())
    assert recipe == load_recipe(name)
    assert recipe.model.backbone.startswith(
        "timm/seresnextaa101d" if device == "cuda" else "offline/"
    )
    both = load_recipe("best").differences(load_recipe("best-gpu"))
    assert sorted(both) == [
        "model.backbone",
        "train.batch_size",
        "view.eval_scale",
        "view.size",
    ], "the same parts"


def test_a_probe_is_what_best_starts_from() -> None:
    """So the features of one serve the other."""
    best, probe = load_recipe("best"), load_recipe("probe")
    assert (probe.view, probe.predict, probe.loss) == (best.view, best.predict, best.loss)
    assert probe.model == best.model.model_copy(update={"freeze_norms": False})


def test_recipes_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        load_recipe("fast").train.epochs = 9  # type: ignore[misc]


def test_overrides_take_tomls_notation_and_bare_text() -> None:
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


def test_the_last_override_wins_and_the_rest_stays() -> None:
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
        ("[optimizer]\nlr = 1e-4", "did you mean optimizer?"),
        ("[mix]\nprobability = 1.5", "mix.probability = 1.5"),
        ("[view]\nscale = [0.5]", "view.scale"),
        ("[view\nsize = 3", "is not TOML"),
        ("lr = 3", "lr is not an option"),
    ],
)
def test_a_wrong_recipe_names_the_key_in_one_line(text: str, words: str, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(RecipeError) as failure:
        load_recipe(file)
    assert words in str(failure.value)
    assert "\n" not in str(failure.value)


@given(st.text(max_size=40))
def test_any_override_is_taken_or_refused_in_words(text: str) -> None:
    try:
        assert isinstance(load_recipe("fast", [text]), Recipe)
    except RecipeError as error:
        assert str(error)


def test_every_option_is_described() -> None:
    listed = list(options())
    assert len(listed) == len({option.name for option in listed})
    for option in listed:
        assert len(option.description) > 10, option.name
