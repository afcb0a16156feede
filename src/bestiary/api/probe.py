"""TODO api.probe"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place
from bestiary.api.train import train

if TYPE_CHECKING:
    from bestiary.run.run import Run


def probe(
    data: Place,
    run: Place,
    /,
    *,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: str | int | None = None,
    fixes: Place | None = None,
    quiet: bool = False,
) -> "Run":
    """Train the heads of a k-fold ensemble alone: an honest number in about a minute.

    One pass of the frozen pretrained network over the images, kept for every later run; then a
    linear classifier for each fold. It is train with the recipe probe, and the result is a run like
    any other.

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Folder for the results; nothing in it is ever overwritten.
    overrides
        Options of the recipe as section.key=value; see bestiary train --help.
    folds
        Number of folds, or a CSV or Parquet file of your own with the columns path,fold.
    fixes
        Table of decided labels that bestiary labels has written; nothing in DATA is touched.
    quiet
        Show no progress.
    """
    return train(
        data, run, recipe="probe", overrides=overrides, folds=folds, fixes=fixes, quiet=quiet
    )
