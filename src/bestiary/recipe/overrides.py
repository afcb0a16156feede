"""``--set`` as people write it -> section, key and value of a recipe."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from typing import Any, get_origin

from bestiary.errors import RecipeError
from bestiary.recipe.foreign_names import foreign_key
from bestiary.recipe.options import Recipe, options

LIKE = 0.6  # how alike two keys are whose one may be meant by the other, 0 to 1


def parse_override(override: str) -> tuple[str, str, Any]:
    """Parse one override.

    Args:
        override: ``section.key=value``. The section may be left out where only one has the key. The
            value is in TOML's notation; text needs no quotes, and a list no brackets.

    Returns:
        section, key and value. The section or the key may be unknown.

    Raises:
        RecipeError: there is no value, or no section or several have the key.

    Example:
        >>> parse_override("epochs=10"), parse_override("track.to=mlflow,wandb")
        (('train', 'epochs', 10), ('track', 'to', ['mlflow', 'wandb']))
    """
    name, equals, text = override.partition("=")
    name = name.strip()
    if not (equals and name) or name.startswith(".") or name.endswith("."):
        raise RecipeError(
            f"--set {override}: must look like section.key=value, for example train.epochs=10"
        )
    section, _, key = full_name(name).partition(".")
    value = _parse_value(text.strip())
    return section, key, _as_list(value) if _is_list(section, key) else value


def with_named(overrides: Sequence[str], named: Mapping[str, object]) -> list[str]:
    """Add the values of options that have a way of their own, such as ``--epochs``.

    Args:
        overrides: as `parse_override` takes them.
        named: section.key -> value; None where the option was not given.

    Raises:
        RecipeError: an override sets one of them too.

    Example:
        >>> with_named(["view.size=96"], {"train.epochs": 3, "train.seed": None})
        ['view.size=96', 'train.epochs=3']
    """
    given = {name: value for name, value in named.items() if value is not None}
    for override in overrides:
        section, key, _ = parse_override(override)
        if f"{section}.{key}" in given:
            raise RecipeError(
                f"--set {override}: {section}.{key} is given twice; leave one of them out"
            )
    return [*overrides, *(f"{name}={value}" for name, value in given.items())]


def full_name(name: str) -> str:
    """Return the full name of a key that was given with or without its section.

    Args:
        name: of a key; with a section, it is returned as it is.

    Raises:
        RecipeError: no section or several have the key.
    """
    if "." in name:
        return name
    names = [option.name for option in options()]
    found = [known for known in names if known.partition(".")[2] == name]
    if len(found) == 1:
        return found[0]
    if found:
        raise RecipeError(f"--set {name}: write {' or '.join(found)}")
    if key := foreign_key(name):
        raise RecipeError(f"--set {name}: is called {key} here")
    short = {known.partition(".")[2]: known for known in names}
    near = difflib.get_close_matches(name, short, 1, LIKE)
    remedy = f"did you mean {short[near[0]]}?" if near else "bestiary options lists all"
    raise RecipeError(f"--set {name}: is not an option; {remedy}")


def apply_overrides(values: dict[str, Any], overrides: Sequence[str]) -> None:
    """Write overrides into section -> key -> value. Later ones win.

    Args:
        values: of a recipe; changed in place.
        overrides: as `parse_override` takes them.

    Raises:
        RecipeError: one of them cannot be parsed.
    """
    for override in overrides:
        section, key, value = parse_override(override)
        # A section that is not a table stays as it is: `Recipe.parse` names it in its error.
        if isinstance(values.setdefault(section, {}), dict):
            values[section][key] = value


def _is_list(section: str, key: str) -> bool:
    """Whether the values of a key are lists."""
    field = Recipe.model_fields.get(section)
    if field is None:
        return False
    option = type(field.default).model_fields.get(key)
    return option is not None and get_origin(option.annotation) is tuple


def _as_list(value: object) -> object:
    """Turn text with commas, or a single value, into a list."""
    if isinstance(value, str):
        return [_parse_value(part.strip()) for part in value.split(",") if part.strip()]
    return value if isinstance(value, list) else [value]


def _parse_value(text: str) -> Any:
    """Parse a TOML value; what is not TOML is text."""
    try:
        return tomllib.loads(f"v = {text}")["v"]
    except (ValueError, RecursionError):
        return text
