"""The verb `drift`: a run and new images -> whether they are of the same world."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import Engine

if TYPE_CHECKING:
    from bestiary.evaluation.drift_text import DriftReport


@checked_arguments
def drift(
    run: RunLocation,
    /,
    *images: Location | Sequence[Location],
    out: Location | None = None,
    engine: Engine = "auto",
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "DriftReport":
    """Say whether new images are of the world that a run was trained on.

    A two-sample test compares them with the run's own images, class by class. It takes
    features of the frozen network, if this machine's cache has those of the run. Else it
    takes logits of members that were not trained on the images. So a season with other
    class shares is no change, and another camera is one. It needs no labels. Images of one
    burst or event count once. One in twenty same worlds is called changed.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    images
        A folder that is searched with its subfolders, a table with the column path, or
        images. At least 20; 100 or more see smaller changes.
    out
        New table to write, .csv: every new image with its class and how unlike it is, the
        least alike first.
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
    >>> bestiary.drift("run", "new", quiet=True).drift.images <= 9
    True
    """
    from pathlib import Path

    from bestiary.api.trained_listing import flattened, trained_listing
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.errors import ArgumentError
    from bestiary.evaluation.drift_text import measure_drift
    from bestiary.run.opening import opened_run
    from bestiary.run.tables import write_table
    from bestiary.signals import Interrupts
    from bestiary.tables import check_new_table

    paths = list(flattened(images))
    if not paths:
        raise ArgumentError("drift: no images are named; name a folder of new images")
    if out is not None:
        check_new_table("--out", Path(out), [".csv"])
    display = Display(quiet)
    with Interrupts(), opened_run(os.fspath(run)) as opened:
        ensemble = Ensemble.load(opened, engine=engine)
        options = trained_listing(opened, paths, overrides, display)
        report = measure_drift(opened, ensemble, paths, display, options)
    if out is not None:
        write_table(Path(out), report.images)
    return report
