"""A recipe -> the list of its options, with its values, for people to read."""

import json
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bestiary.errors import ArgumentError
from bestiary.recipe.load import load_recipe
from bestiary.recipe.options import Option, options
from bestiary.streams import screen_width

INDENT = " " * 6


@dataclass(frozen=True, slots=True)
class OptionList:
    """Options of a recipe, one below the other.

    Attributes:
        recipe: name or file of the recipe.
        options: that are listed; `Option.default` is the value where no recipe sets another.
        values: section.key -> the recipe's value, in TOML's notation.
    """

    recipe: str
    options: list[Option]
    values: dict[str, str]

    def document(self) -> dict[str, Any]:
        """Return what programs read, see docs/reference/programs.md."""
        return {
            "recipe": self.recipe,
            "options": [
                {
                    "name": option.name,
                    "value": json.loads(self.values[option.name]),
                    "usual": json.loads(option.default),
                    "description": option.description,
                }
                for option in self.options
            ],
        }

    def __str__(self) -> str:
        lines = [f"Options of the recipe {self.recipe}, for --set and TOML files."]
        if any(self._is_changed(option) for option in self.options):
            lines.append("A star marks a value that this recipe sets.")
        for option in self.options:
            is_changed = self._is_changed(option)
            mark = "*" if is_changed else " "
            usual = f" (usual: {option.default})" if is_changed else ""
            lines.append(f"{mark} {option.name} = {self.values[option.name]}")
            lines += textwrap.wrap(
                option.description + usual,
                screen_width(),
                initial_indent=INDENT,
                subsequent_indent=INDENT,
                break_long_words=False,
            )
        return "\n".join(lines)

    def _is_changed(self, option: Option) -> bool:
        return self.values[option.name] != option.default


def list_options(recipe: str | Path, word: str = "") -> OptionList:
    """List the options of a recipe.

    Args:
        recipe: a shipped name, or the path of a TOML file.
        word: keeps the options whose name or description has it; empty: all of them.

    Raises:
        ArgumentError: no option has the word.
        RecipeError: there is no such recipe, or it is wrong.

    Example:
        >>> listed = list_options("fast", "first_cycle")
        >>> listed.options[0].name
        'schedule.first_cycle'
    """
    loaded = load_recipe(recipe).model_dump(mode="json")
    wanted = word.lower()
    found = [
        option
        for option in options()
        if wanted in option.name.lower() or wanted in option.description.lower()
    ]
    if not found:
        raise ArgumentError(f"{word}: no option has this word; bestiary options lists all of them")
    values = {}
    for option in found:
        section, _, key = option.name.partition(".")
        values[option.name] = json.dumps(loaded[section][key])
    return OptionList(str(recipe), found, values)
