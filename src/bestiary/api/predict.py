"""TODO api.predict"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal

from bestiary.api.arguments import Place, open_run

if TYPE_CHECKING:
    from bestiary.ensemble.predictions import PredictionTable

    pass


def predict(
    run: Place,
    images: Place,
    /,
    *,
    out: Place,
    average: Literal["logits", "probabilities", "vote"] | None = None,
    format: Literal["full", "submission"] = "full",
    coverage: float = 0.9,
    sets: Literal["all", "class"] = "all",
    risk: float = 0.05,
    engine: Literal["auto", "openvino", "torch"] = "auto",
    tta: Literal[1, 2, 5] | None = None,
    resume: bool = False,
    watch: bool = False,
    quiet: bool = False,
) -> "PredictionTable":
    """Predict an image or a folder of images, of any size, with all members of a run.

    The table appears whole; until then its rows lie beside it in OUT.partial, from where a
    prediction that was stopped goes on.

    Exit status: 0 when every image was read, 1 when some could not be (each has its row with the
    reason), 2 when nothing could be done.

    Parameters ---------- run Folder of a trained run, or its address in a store. images An image,
    or a folder that is searched with all folders in it. out Table to write, .csv or .parquet.
    average What is averaged over the members. Default: as the run's recipe says. format full:
    label, calibrated confidence, the next four, agreement of the members, set, sure, unknown.
    submission: image_name,pred_label alone, and a solution.zip beside it. coverage Share of the
    images whose set holds the true class: 0.8, 0.9, 0.95 or 0.99. sets Whether the sets cover that
    share of all images, or of the images of each class. risk Share of errors among the answers that
    are called sure, at most: 0.01, 0.02, 0.05 or 0.1. engine What runs the networks. auto: on a CPU
    OpenVINO where it is installed and agrees with PyTorch, else PyTorch. tta Views of each image
    that are averaged: 1 the view itself, 2 its mirror image too, 5 the whole and its four corners.
    Confidence was calibrated for the number in the run's recipe, which is the default. resume Go on
    with a prediction that was stopped; it ends in the same table. watch Go on for ever with images
    that are added to the folder (a camera trap), each once it is complete; Ctrl-C ends it. The
    table is written when no image is waiting. Later, --watch --resume goes on. quiet Show no
    progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble.answers import PredictionOptions
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.predictions import PredictJob, predict_folder, watch_folder
    from bestiary.signals import Interrupts

    job = PredictJob(
        Path(images), Path(out), average, format, PredictionOptions(coverage, sets, risk), resume
    )
    display = Display(quiet)
    with open_run(run) as found:
        ensemble = Ensemble.load(found, engine=engine, tta=tta)
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
