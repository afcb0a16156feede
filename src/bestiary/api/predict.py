"""TODO api.predict"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bestiary.api.arguments import Place, opened

if TYPE_CHECKING:
    from bestiary.ensemble.predictions import Predictions


def predict(
    run: Place,
    pictures: Place,
    /,
    *,
    out: Place,
    average: Literal["logits", "probabilities", "vote"] | None = None,
    format: Literal["full", "submission"] = "full",
    coverage: float = 0.9,
    sets: Literal["all", "class"] = "all",
    risk: float = 0.05,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    views: Literal[1, 2, 5] | None = None,
    resume: bool = False,
    watch: bool = False,
    quiet: bool = False,
) -> "Predictions":
    """Predict a picture or a folder of pictures, of any size, with all members of a run.

    The table appears whole; until then its rows lie beside it in OUT.partial, from where a prediction that was stopped
    goes on.

    Exit status: 0 when every picture was read, 1 when some could not be (each has its row with the reason), 2 when
    nothing could be done.

    Parameters
    ----------
    run
        Folder of a trained run, or its address in a store.
    pictures
        A picture, or a folder that is searched with all folders in it.
    out
        Table to write, .csv or .parquet.
    average
        What is averaged over the members. Default: as the run's recipe says.
    format
        full: label, calibrated confidence, the next four, agreement of the members, set, sure, unknown.
        submission: image_name,pred_label alone, and a solution.zip beside it.
    coverage
        Share of the pictures whose set holds the true class: 0.8, 0.9, 0.95 or 0.99.
    sets
        Whether the sets cover that share of all pictures, or of the pictures of each class.
    risk
        Share of errors among the answers that are called sure, at most: 0.01, 0.02, 0.05 or 0.1.
    engine
        What runs the networks. auto: on a CPU OpenVINO where it is installed and agrees with PyTorch, else PyTorch.
    views
        Views of each picture that are averaged: 1 the view itself, 2 its mirror image too, 5 the whole and
        its four corners. Confidence was calibrated for the number in the run's recipe, which is the default.
    resume
        Go on with a prediction that was stopped; it ends in the same table.
    watch
        Go on for ever with pictures that are added to the folder (a camera trap), each once it is complete; Ctrl-C
        ends it. The table is written when no picture is waiting. Later, --watch --resume goes on.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble.answers import Caution
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.predictions import Job, predict_folder, watch_folder
    from bestiary.signals import Interrupts

    job = Job(Path(pictures), Path(out), average, format, Caution(coverage, sets, risk), resume)
    display = Display(quiet)
    with opened(run) as found:
        ensemble = Ensemble.load(found, engine=engine, views=views)
    display.line(f"{len(ensemble.members)} members by {ensemble.engine}")
    if ensemble.refused:
        display.notice(ensemble.refused)
    with Interrupts():
        try:
            return (
                watch_folder(ensemble, job, display)
                if watch
                else predict_folder(ensemble, job, display)
            )
        except KeyboardInterrupt:
            display.notice("Interrupted. To go on: the same command with --resume")
            raise
