"""TODO recipe.load"""

import difflib
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from bestiary.errors import RecipeError, one_line
from bestiary.recipe.defaults import SHIPPED, shipped_text
from bestiary.recipe.options import Recipe


def load_recipe(recipe: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a shipped recipe or a TOML file and apply `overrides`, each as ``section.key=value``.

    Args:
        recipe: a name in `SHIPPED`, or the path of a TOML file.
        overrides: values in TOML's notation; text may stand without quotes.

    Raises:
        RecipeError: no such recipe, not TOML, an unknown key or a value out of its range.
    """
    values = _read(recipe)
    for override in overrides:
        name, separator, text = override.partition("=")
        section, dot, key = name.strip().partition(".")
        if not (separator and dot and key):
            raise RecipeError(
                f"--set {override}: must look like section.key=value, for example train.epochs=10"
            )
        # Keep what is not a table as it stands, so that the validation below can name it.
        if isinstance(values.setdefault(section, {}), dict):
            values[section][key] = _parse_value(text.strip())
    return Recipe.parse(values, str(recipe))


def _read(recipe: str | Path) -> dict[str, Any]:
    if str(recipe) in SHIPPED:
        return tomllib.loads(shipped_text(str(recipe)))
    path = Path(recipe)
    if path.suffix != ".toml":
        near = difflib.get_close_matches(str(recipe), SHIPPED, 1, 0.5)
        hint = (
            f"did you mean {near[0]}?"
            if near
            else f"choose {' or '.join(SHIPPED)}, or name a .toml file"
        )
        raise RecipeError(f"--recipe {recipe}: no such recipe; {hint}")
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(
            f"--recipe {recipe}: cannot be read ({error.strerror}); check the path"
        ) from None
    except (ValueError, RecursionError) as error:
        raise RecipeError(
            f"--recipe {recipe}: is not TOML ({one_line(error)}); mend that line"
        ) from None


def _parse_value(text: str) -> Any:
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text
