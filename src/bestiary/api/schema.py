"""The verb `schema`: the options of recipes as JSON Schema, by which editors complete them."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from bestiary.recipe.schema import RecipeSchema


def schema() -> "RecipeSchema":
    """Print the JSON Schema of recipes, for editors.

    bestiary schema > recipe.schema.json

    With the first line #:schema recipe.schema.json in a recipe, an editor with Even
    Better TOML completes its options and marks what is wrong.

    Examples
    --------
    >>> import bestiary
    >>> text = str(bestiary.schema())
    >>> "batch_size" in text
    True
    """
    from bestiary.recipe.schema import recipe_schema

    return recipe_schema()
