"""The verb `predict`: an image or a folder of images -> a table of predictions."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many
from bestiary.recipe.choices import Average, Engine, Sets, TableFormat, TtaViews

if TYPE_CHECKING:
    from bestiary.display import Display
    from bestiary.ensemble.caveats import TrainedFiles
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.predictions import PredictionTable, PredictJob
    from bestiary.evaluation.drifting import DriftMonitor
    from bestiary.run.run import Run


def predict(
    run: Location,
    /,
    *images: Location | Sequence[Location],
    out: Location,
    average: Average | None = None,
    format: TableFormat = "full",
    coverage: float = 0.9,
    sets: Sets = "all",
    risk: float = 0.05,
    engine: Engine = "auto",
    tta: TtaViews | None = None,
    cascade: float | None = None,
    review: Location | None = None,
    resume: bool = False,
    watch: bool = False,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "PredictionTable":
    """Predict images or folders of images, of any size, with all members of a run.

    The table appears when it is complete. Until then its rows are in OUT.partial, from
    which an interrupted prediction resumes.

    Exit status: 0 if every image was read, 1 if some could not be (each has its row
    with the reason), 2 if nothing could be done.

    Parameters
    ----------
    run
        Trained run: its folder, or its address in an object store.
    images
        A folder that is searched with its subfolders, a table with the column path (.csv,
        .tsv or .parquet), an image; or several of these, such as *.jpg.
    out
        Table to write, .csv or .parquet.
    average
        What is averaged over the members. Default: as the run's recipe says.
    format
        full: label, calibrated confidence, the next four labels, member agreement,
        prediction set, accepted, unknown. submission: only image_name,pred_label, and a
        solution.zip next to it.
    coverage
        Share of the images whose prediction set contains the true class: 0.8, 0.9, 0.95
        or 0.99.
    sets
        Whether prediction sets cover that share of all images, or of the images of each
        class.
    risk
        Largest share of errors among accepted predictions: 0.01, 0.02, 0.05 or 0.1.
    engine
        What runs the networks. auto: on a CPU OpenVINO, if it is installed and agrees with
        PyTorch; otherwise PyTorch.
    tta
        Test-time augmentation: number of views of each image that are averaged: 1 the
        image, 2 also its mirror image, 5 the image and its four corners. The confidence
        was calibrated for the number in the run's recipe, which is the default.
    cascade
        Let an image stop after one member where that member is so confident that at most
        this share of such answers is wrong: 0.01, 0.02, 0.05 or 0.1. Learnt from the
        out-of-fold predictions; what it costs is printed, and the column members_used
        tells which images stopped. Saves time where members share little, as those of
        best and paper. Default: all members compute every image.
    review
        Folder for the page review.html: check images that were drawn at random, which gives
        the accuracy on these images with an interval, and correct the least sure. It
        saves reviewed.csv, which train takes.
    resume
        Resume an interrupted prediction. The table is the same as without interruption.
    watch
        Keep predicting images that are added to the folder (by a camera trap), each as
        soon as it is complete, until Ctrl-C. The table is written when no image is
        waiting. --watch --resume goes on later.
    overrides
        data.root=FOLDER: the folder that the paths of a table start from.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> result = bestiary.predict("run", "new", out="prediction.csv", quiet=True)
    >>> result.table.select("path", "label", "confidence").shape
    (9, 3)
    """
    from bestiary.display import Display
    from bestiary.ensemble.answers import PredictionOptions
    from bestiary.ensemble.caveats import TrainedFiles, missing_members
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.members import describe_first_start
    from bestiary.ensemble.predictions import PredictJob
    from bestiary.evaluation.drifting import drift_monitor
    from bestiary.numbers import count
    from bestiary.recipe.load import load_data_options
    from bestiary.run.opening import opened_run
    from bestiary.signals import Interrupts

    if review is not None:
        _check_review(watch, format)
    options = PredictionOptions(coverage, sets, risk)
    root = load_data_options(overrides).root
    paths = tuple(_flatten(images))
    job = PredictJob(paths, Path(out), average, format, options, resume, root, cascade)
    display = Display(quiet)
    with opened_run(run) as opened:
        first_start = describe_first_start(opened, engine)
        if first_start:
            display.line(first_start)
        ensemble = Ensemble.load(opened, engine=engine, tta=tta)
        if cascade is not None:
            display.notice(_stop_early(opened, ensemble, cascade, engine))
        caveat = missing_members(opened, ensemble)
        trained = TrainedFiles.of(opened)
        monitor = None if cascade is not None else drift_monitor(opened, ensemble, watch)
    display.line(f"{count(len(ensemble.folds), 'member')} by {ensemble.engine}")
    for notice in filter(None, [ensemble.fallback_reason, caveat]):
        display.notice(notice)
    with Interrupts():
        try:
            result = _predict(ensemble, job, display, trained, monitor, watch)
        except KeyboardInterrupt:
            display.notice("Interrupted. To go on: the same command with --resume")
            raise
    if review is not None:
        result = _with_review(result, ensemble.classes_.tolist(), str(run), Path(review))
    return result


def _predict(
    ensemble: "Ensemble",
    job: "PredictJob",
    display: "Display",
    trained: "TrainedFiles",
    monitor: "DriftMonitor | None",
    watch: bool,
) -> "PredictionTable":
    """Predict the images or watch their folder; say whether they are of another world."""
    from functools import partial

    from bestiary.ensemble.predictions import predict_folder, watch_folder

    if watch:
        watcher = partial(monitor.notify, display.notice) if monitor else None
        return watch_folder(ensemble, job, display, watcher)
    result = predict_folder(ensemble, job, display, trained, monitor.add if monitor else None)
    if monitor and (line := monitor.line()):
        display.notice(line)
    return result


def _check_review(watch: bool, format: TableFormat) -> None:
    """Refuse what leaves no table to review."""
    from bestiary.errors import ArgumentError

    if watch or format == "submission":
        other = "--watch" if watch else "--format submission"
        raise ArgumentError(f"--review: shows a finished full table; leave {other} out")


def _stop_early(run: "Run", ensemble: "Ensemble", risk: float, engine: Engine) -> str:
    """Let images stop after one member; say what that costs."""
    from bestiary.evaluation.cascading import apply_cascade, learn_cascade

    cascade = learn_cascade(run, ensemble, risk)
    apply_cascade(run, ensemble, cascade, engine)
    return str(cascade)


def _with_review(
    result: "PredictionTable", classes: list[str], run: str, folder: Path
) -> "PredictionTable":
    """Write the page to review the predictions on."""
    from dataclasses import replace

    from bestiary.evaluation.review import choose_review
    from bestiary.reporting.review_page import write_review

    chosen = choose_review(result.table, result.root, classes)
    return replace(result, review=write_review(chosen, run, folder))


def _flatten(images: "Sequence[Location | Sequence[Location]]") -> Iterator[Path]:
    """Yield the paths of all arguments; one of them may be a list."""
    for one in images:
        if isinstance(one, str | Path):
            yield Path(one)
        else:
            yield from map(Path, one)
