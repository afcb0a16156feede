"""The verb `next`: a run and new images -> the images to label next."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import Engine

if TYPE_CHECKING:
    from bestiary.evaluation.next_images import NextImages


@checked_arguments
def next(
    run: RunLocation,
    /,
    *images: Location | Sequence[Location],
    count: int = 100,
    out: Location | None = None,
    engine: Engine = "auto",
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "NextImages":
    """Choose the new images whose labels would teach a run most.

    They are those that the run doubts and that are unlike what it knows, spread out, so
    that near duplicates are not labeled twice. First it says what this choice would
    have gained over a random one on the run's own labeled images.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    images
        A folder that is searched with its subfolders, a table with the column path, or
        images.
    count
        How many images to choose.
    out
        New table to write, .csv: path, the run's guess and its confidence, the most wanted
        first.
    engine
        What runs the networks; see bestiary predict --help.
    overrides
        data.root=FOLDER: the folder that the paths of a table or of boxes start from.
        data.boxes=FILE: the boxes in the images; data.box_confidence=0.2: how sure the
        detector must be, if not as in the run's training.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> bestiary.next("run", "new", count=3, quiet=True).images.columns
    ['path', 'label', 'confidence']
    """
    from pathlib import Path

    from bestiary.api.trained_listing import flattened, trained_listing
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.errors import ArgumentError
    from bestiary.evaluation.next_images import choose_next
    from bestiary.run.opening import opened_run
    from bestiary.run.tables import write_table
    from bestiary.signals import Interrupts
    from bestiary.tables import check_new_table

    paths = list(flattened(images))
    if not paths:
        raise ArgumentError("next: no images are named; name a folder of new images")
    if count < 1:
        raise ArgumentError(f"--count {count}: must be 1 or more")
    if out is not None:
        check_new_table("--out", Path(out), [".csv"])
    display = Display(quiet)
    with Interrupts(), opened_run(os.fspath(run)) as opened:
        ensemble = Ensemble.load(opened, engine=engine)
        options = trained_listing(opened, paths, overrides, display)
        chosen = choose_next(opened, ensemble, paths, count, display, options)
    if out is not None:
        write_table(Path(out), chosen.images)
    return chosen
