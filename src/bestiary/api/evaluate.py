"""The verb `evaluate`: a run and labeled images that are new -> its scores on them."""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Location, open_run

if TYPE_CHECKING:
    from bestiary.evaluation.held_out import Evaluation


def evaluate(
    run: Location, images: Location, /, *, out: Location | None = None, quiet: bool = False
) -> "Evaluation":
    """Score a run on labeled images that it has not seen: each averaging rule and member.

    Images that the run was trained on are left out of the scores, and so are
    duplicates of them: the same pixels in another file, and near duplicates
    (re-encoded, resized, cropped, mirrored, brightened, watermarked). What is left
    out is listed.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    images
        Folder of class folders, or a table with the columns path,label.
    out
        JSON file for the scores, besides the table on the screen.
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

    scores_file = Path(out) if out else None
    with open_run(run) as opened:
        ensemble = Ensemble.load(opened)
        return evaluate_folder(opened, ensemble, Path(images), scores_file, Display(quiet))
