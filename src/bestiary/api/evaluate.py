"""TODO api.evaluate"""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place, opened

if TYPE_CHECKING:
    from bestiary.evaluation.held_out import Evaluation


def evaluate(
    run: Place, pictures: Place, /, *, out: Place | None = None, quiet: bool = False
) -> "Evaluation":
    """Score a run on labelled pictures that it has not seen: every averaging rule, each member.

    Pictures that the run was trained on are left out of the scores, and so are copies of them: the same pixels in
    another file, or near copies (re-encoded, resized, cropped, mirrored, brighter, marked). What is left out is named.

    Parameters
    ----------
    run
        Folder of a trained run, or its address in a store.
    pictures
        Folder of class folders, or a table with the columns path,label.
    out
        JSON file for the scores, besides the table on the screen.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.evaluation.held_out import evaluate_folder

    with opened(run) as found:
        return evaluate_folder(
            found, Ensemble.load(found), Path(pictures), Path(out) if out else None, Display(quiet)
        )
