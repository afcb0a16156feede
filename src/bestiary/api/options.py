"""The verb `options`: a recipe -> all options that --set takes, with that recipe's values."""

from typing import TYPE_CHECKING

from bestiary.api.arguments import Location
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.recipe.listing import OptionList


@checked_arguments
def options(word: str = "", /, *, recipe: Location = "best") -> "OptionList":
    """List what --set takes, with the values of a recipe.

    Values in brackets are those of most recipes; a star marks what this recipe changes.

    Parameters
    ----------
    word
        Only options whose name or description has this word, such as view or epochs.
    recipe
        best, best-gpu, paper, fast, probe, foundation, the path of a TOML file, or the
        folder of a run.

    Examples
    --------
    >>> import bestiary
    >>> bestiary.options("epochs", recipe="best").values["train.epochs"]
    '10'
    """
    from pathlib import Path

    from bestiary.recipe.listing import list_options
    from bestiary.run.layout import RECIPE
    from bestiary.run.run import Run

    run = Run(Path(recipe))
    return list_options(run.file(RECIPE) if run.exists else recipe, word)
