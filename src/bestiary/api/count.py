"""The verb `count`: new images without labels -> how many there are of each class."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import Engine

if TYPE_CHECKING:
    from bestiary.evaluation.counting import ClassCounts


@checked_arguments
def count(
    run: RunLocation,
    /,
    *images: Location | Sequence[Location],
    out: Location | None = None,
    despite_drift: bool = False,
    engine: Engine = "auto",
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "ClassCounts":
    """Count the images of each class, corrected for confusion.

    Labels cannot just be counted: confusions do not cancel out, and a model expects
    the shares that it was trained on. The shares that explain all predictions best
    are found instead. That holds where only the shares have changed: it is refused
    where the images themselves are unlike the run's (another camera, another season).

    Exit status: 0 if every image was read, 1 if some could not be, 2 if nothing could
    be done.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    images
        New images: a folder that is searched with its subfolders, a table with the column
        path, an image; or several of these. Images that the run was trained on are left
        out. Images of one burst, or of one group by the recipe's data.group_pattern, count
        as one piece of evidence.
    out
        New table to write, .csv or .parquet: one row a class.
    despite_drift
        Count even if the images are of another world than the run's. The counts may be
        wrong by more than the intervals say.
    engine
        What runs the networks. auto: on a CPU OpenVINO, if it is installed and agrees with
        PyTorch; otherwise PyTorch.
    overrides
        data.root=FOLDER: the folder that the paths of a table start from.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> counts = bestiary.count("run", "new", despite_drift=True, quiet=True)
    >>> round(counts.table["images"].sum())
    9
    """
    from dataclasses import replace

    from bestiary.api.trained_listing import flattened, trained_listing
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.members import say_first_start
    from bestiary.evaluation.counting import count_classes
    from bestiary.run.opening import opened_run
    from bestiary.run.tables import write_table
    from bestiary.tables import check_new_table

    paths = list(flattened(images))
    file = Path(out) if out is not None else None
    if file:
        check_new_table("--out", file, [".csv", ".parquet"])
    display = Display(quiet)
    with opened_run(os.fspath(run)) as opened:
        say_first_start(opened, engine, display)
        counts = count_classes(
            opened,
            Ensemble.load(opened, engine=engine),
            paths,
            trained_listing(opened, paths, overrides, display),
            display,
            despite_drift=despite_drift,
        )
    if file is None:
        return counts
    write_table(file, counts.table)
    return replace(counts, file=file)
