"""The verb `evaluate`: a run and labeled images that are new -> its scores on them."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.evaluation.evaluation_text import Evaluation


@checked_arguments
def evaluate(
    run: RunLocation,
    images: Location,
    /,
    *,
    data: Location | None = None,
    out: Location | None = None,
    map: Annotated[Sequence[str], Many] = (),
    cascade: float | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "Evaluation":
    """Score a run on labeled images that it has not seen.

    Images that the run was trained on are left out of the scores, and so are
    duplicates of them: the same pixels in another file, and near duplicates
    (re-encoded, resized, cropped, mirrored, turned, brightened, watermarked). What is
    left out is listed, and the accuracy with it is shown next to the one without.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    images
        Folder of class folders, or a table with the columns path,label. Splits do not
        matter here: what the run was trained on is left out, and all else is scored.
    data
        Folder or address of the run's images, on a machine where you have not trained it
        yourself. A run from elsewhere names no place to read from.
    out
        Where to write what the screen has no room for. A folder: the page evaluation.html
        (weakest classes, confusions, mistakes, trust), scores.json, and the tables
        images.csv (every image with label, answer, confidence, prediction set, and why it
        is left out), classes.csv and confusion.csv. A name that ends in .json: the scores
        alone.
    map
        Classes of the images that the run knows by another name: NAME=CLASS, one or more,
        or a table with the columns from,to.
    cascade
        Also score what `predict` with this --cascade would answer: 0.01, 0.02, 0.05 or 0.1.
    overrides
        How IMAGES are listed, as in train: data.root=FOLDER, the folder that the paths of a
        table start from, data.layout=LAYOUT, how folders are nested, and data.boxes=FILE, the
        boxes in the images; their data.box_confidence is the run's unless it is set.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> evaluation = bestiary.evaluate("run", "new", quiet=True)
    >>> evaluation.scores["n"]
    9
    """
    from bestiary.api.output_folder import check_output_folder
    from bestiary.api.trained_listing import trained_listing
    from bestiary.display import Display
    from bestiary.ensemble.caveats import missing_members
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.members import say_first_start
    from bestiary.evaluation.class_map import read_class_map
    from bestiary.evaluation.held_out import evaluate_folder
    from bestiary.run.opening import opened_run

    mapping = read_class_map(map)
    place = Path(out) if out else None
    if place is not None and place.suffix.lower() != ".json":
        check_output_folder("--out", place, ", or a .json file for the scores alone")
    display = Display(quiet)
    with opened_run(os.fspath(run), data=data) as opened:
        say_first_start(opened, "auto", display)
        ensemble = Ensemble.load(opened)
        if caveat := missing_members(opened, ensemble):
            display.notice(caveat)
        options = trained_listing(opened, [images], overrides, display)
        learnt = None
        if cascade is not None:
            from bestiary.evaluation.cascading import learn_cascade

            learnt = learn_cascade(opened, ensemble, cascade)
        evaluation = evaluate_folder(
            opened, ensemble, images, place, display, options, mapping, learnt
        )
    if place is not None and place.suffix.lower() != ".json":
        page = _write_page(evaluation, run, images, place)
        display.notice(f"Page: {page}")
    return evaluation


def _write_page(evaluation: "Evaluation", run: RunLocation, images: Location, folder: Path) -> str:
    """Write the page of an evaluation, and name it."""
    from bestiary.atomic import write_text
    from bestiary.printable import printable_name
    from bestiary.reporting.evaluation_page import evaluation_page
    from bestiary.run.layout import EVALUATION_PAGE

    page = folder / EVALUATION_PAGE
    write_text(page, evaluation_page(evaluation, str(run), str(images)))
    return printable_name(page)
