"""TODO api.evaluate"""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.evaluation.held_out import Evaluation


def evaluate(
    run: Place, images: Place, /, *, out: Place | None = None, quiet: bool = False
) -> "Evaluation":
    """Score a run on labeled images that it has not seen: every averaging rule, each member.

    Images that the run was trained on are left out of the scores, and so are copies of them: the
    same pixels in another file, or near copies (re-encoded, resized, cropped, mirrored, brighter,
    marked). What is left out is named.

    Parameters
    ----------
    run
        Folder of a trained run, or its address in a store.
    images
        Folder of class folders, or a table with the columns path,label.
    out
        JSON file for the scores, besides the table on the screen.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.evaluation.held_out import evaluate_folder

    with open_run(run) as found:
        return evaluate_folder(
            found, Ensemble.load(found), Path(images), Path(out) if out else None, Display(quiet)
        )
