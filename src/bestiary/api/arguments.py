"""Argument types that several verbs share."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

Location = str | Path
"""A path, or an address in an object store such as s3://bucket/run."""
RunLocation = Location | os.PathLike[str]
"""A run's folder or address; in Python also the run itself."""
Data = Annotated[Any, Parameter(show_default=False)]
"""Labeled images. On the command line a `Location`; in Python also a frame, or a list of paths."""
Labels = Annotated[Any, Parameter(parse=False)]
"""Labels of a list of paths, which the command line cannot give."""
Many = Parameter(consume_multiple=True)
"""An option that takes several values: --set a=1 b=2."""
Unlabeled = Annotated[Location | None, Parameter(name=["--unlabeled", "--unlabelled"])]
"""Images without labels, in either spelling."""


def with_short_ways(
    overrides: Sequence[str],
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    folds: int | None = None,
) -> list[str]:
    """Add what --epochs, --batch, --seed and --folds say to the overrides of a recipe.

    Raises:
        RecipeError: an override says it too.

    Example:
        >>> with_short_ways(["view.size=96"], epochs=3)
        ['view.size=96', 'train.epochs=3']
    """
    from bestiary.recipe.overrides import with_named

    named = {
        "train.epochs": epochs,
        "train.batch_size": batch,
        "train.seed": seed,
        "folds.n": folds,
    }
    return with_named(overrides, named)
