"""Load a recipe: a shipped name or a TOML file, with `section.key=value` overrides."""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bestiary.argument_types import checked_arguments
from bestiary.errors import RecipeError, one_line
from bestiary.recipe.defaults import SHIPPED, shipped_text
from bestiary.recipe.options import Recipe
from bestiary.recipe.overrides import apply_overrides, parse_override
from bestiary.recipe.sections import DataOptions
from bestiary.regular_files import read_regular

MAX_RECIPE_BYTES = 1 << 20  # a shipped recipe has 5 thousand
CONFIDENCE = "data.box_confidence"
LISTING_OPTIONS = ("data.root", "data.layout", "data.boxes", CONFIDENCE)
"""How the images of a dataset are listed."""


@checked_arguments
def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Load a recipe and apply overrides.

    Args:
        recipe: a name in `SHIPPED`, or the path of a TOML file.
        overrides: each as ``section.key=value`` (`bestiary.recipe.overrides`). Later ones win.

    Returns:
        The recipe, with every value known.

    Raises:
        RecipeError: there is no such recipe, it is not TOML, a key is unknown or a value out of
            its range.

    Example:
        >>> import bestiary
        >>> recipe = bestiary.load_recipe("best", ["train.epochs=6", "view.size=192"])
        >>> recipe.train.epochs, recipe.view.size
        (6, 192)
    """
    values = _read_values(recipe)
    apply_overrides(values, overrides)
    return Recipe.parse(values, str(recipe))


def load_data_options(overrides: Sequence[str], *more: str) -> DataOptions:
    """Load the options of a recipe that say how images are listed.

    Args:
        overrides: each as ``data.root=FOLDER`` or ``data.layout=LAYOUT``.
        more: other options that matter, such as ``data.burst_seconds``.

    Raises:
        RecipeError: an override is of another option, or its value is out of range.

    Example:
        >>> load_data_options(["data.layout=split/class"]).layout
        'split/class'
    """
    known = (*LISTING_OPTIONS, *more)
    for override in overrides:
        name = ".".join(parse_override(override)[:2])
        if name not in known:
            raise RecipeError(
                f"--set {override}: {name} does not matter here; the options are "
                f"{', '.join(known[:-1])} and {known[-1]}"
            )
    return load_recipe(SHIPPED[0], overrides).data


def load_trained_options(overrides: Sequence[str], trained: DataOptions) -> DataOptions:
    """Load how new images are listed; boxes are as sure as those that a run was trained on.

    Args:
        overrides: as for `load_data_options`.
        trained: options of the run.

    Raises:
        RecipeError: as `load_data_options`.

    Example:
        >>> load_trained_options([], DataOptions(box_confidence=0.5)).box_confidence
        0.5
    """
    options = load_data_options(overrides)
    named = {".".join(parse_override(override)[:2]) for override in overrides}
    if CONFIDENCE in named:
        return options
    return options.model_copy(update={"box_confidence": trained.box_confidence})


def _read_values(recipe: str | Path) -> dict[str, Any]:
    """Read section -> key -> value of a shipped recipe or a TOML file."""
    if str(recipe) in SHIPPED:
        return tomllib.loads(shipped_text(str(recipe)))
    path = Path(recipe)
    if path.suffix != ".toml":
        raise RecipeError(f"--recipe {recipe}: no such recipe; {_suggest(str(recipe))}")
    try:
        return tomllib.loads(read_regular(path, MAX_RECIPE_BYTES).decode("utf-8"))
    except OSError as error:
        raise RecipeError(
            f"--recipe {recipe}: cannot be read ({error.strerror}); check the path"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f"--recipe {recipe}: is not TOML ({one_line(error)}); correct that line"
        ) from None


def _suggest(name: str) -> str:
    near = difflib.get_close_matches(name, SHIPPED, 1, 0.5)
    if near:
        return f"did you mean {near[0]}?"
    return f"choose {' or '.join(SHIPPED)}, or name a .toml file"
