"""The options of a recipe -> their JSON Schema, by which editors complete and check TOML files.

Rules that join two options are not in it: `Recipe` alone checks those.
"""

import json
from dataclasses import dataclass
from typing import Any

from bestiary.recipe.options import Recipe

DIALECT = "https://json-schema.org/draft/2020-12/schema"
ABOUT = (
    "Options of a training run of bestiary. What is left out has its default. bestiary options "
    "lists them with the values of the recipes that ship."
)


@dataclass(frozen=True, slots=True)
class RecipeSchema:
    """The JSON Schema of recipes; prints as JSON.

    Attributes:
        schema: the schema, with every option's type, range, choices, default and description.
    """

    schema: dict[str, Any]

    def __str__(self) -> str:
        return json.dumps(self.schema, indent=2)


def recipe_schema() -> RecipeSchema:
    """Write the JSON Schema of recipes, of the dialect 2020-12.

    Example:
        >>> schema = recipe_schema().schema
        >>> schema["$defs"]["TrainOptions"]["properties"]["epochs"]["default"]
        4
    """
    schema = _without_titles(Recipe.model_json_schema())
    about = {"$schema": DIALECT, "title": "Recipe of bestiary", "description": ABOUT}
    return RecipeSchema(about | schema | about)


def _without_titles(node: Any) -> Any:
    """Remove the titles that pydantic makes of names. An option called title would stay."""
    if isinstance(node, list):
        return [_without_titles(part) for part in node]
    if not isinstance(node, dict):
        return node
    return {
        key: _without_titles(part)
        for key, part in node.items()
        if not (key == "title" and isinstance(part, str))
    }
