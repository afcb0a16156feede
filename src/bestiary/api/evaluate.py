"""The verb `evaluate`: a run and labeled images that are new -> its scores on them."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many

if TYPE_CHECKING:
    from bestiary.evaluation.evaluation_text import Evaluation


def evaluate(
    run: Location,
    images: Location,
    /,
    *,
    data: Location | None = None,
    out: Location | None = None,
    cascade: float | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "Evaluation":
    """Score a run on labeled images that it has not seen: each averaging rule and member.

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
        JSON file for the scores, besides the table on the screen.
    cascade
        Also score what `predict` with this --cascade would answer: 0.01, 0.02, 0.05 or 0.1.
    overrides
        How IMAGES are listed, as in train: data.root=FOLDER, the folder that the paths of a
        table start from, and data.layout=LAYOUT, how folders are nested.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> evaluation = bestiary.evaluate("run", "new", quiet=True)
    >>> evaluation.scores["n"]
    9
    """
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.evaluation.held_out import evaluate_folder
    from bestiary.recipe.load import load_data_options
    from bestiary.run.opening import opened_run

    scores_file = Path(out) if out else None
    with opened_run(run, data=data) as opened:
        ensemble = Ensemble.load(opened)
        options = load_data_options(overrides)
        learnt = None
        if cascade is not None:
            from bestiary.evaluation.cascading import learn_cascade

            learnt = learn_cascade(opened, ensemble, cascade)
        return evaluate_folder(
            opened, ensemble, images, scores_file, Display(quiet), options, learnt
        )
