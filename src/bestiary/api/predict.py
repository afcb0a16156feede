"""The verb `predict`: an image or a folder of images -> a table of predictions."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, RunLocation
from bestiary.argument_types import checked_arguments
from bestiary.recipe.choices import Average, Engine, Sets, TableFormat, TtaViews

if TYPE_CHECKING:
    from bestiary.display import Display
    from bestiary.ensemble.caveats import TrainedFiles
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.exchange.outputs import Outputs
    from bestiary.ensemble.field_rules import FieldRules
    from bestiary.ensemble.prediction_table import PredictionTable
    from bestiary.ensemble.predictions import PredictJob
    from bestiary.evaluation.drifting import DriftMonitor
    from bestiary.run.run import Run


@checked_arguments
def predict(
    run: RunLocation,
    /,
    *images: Location | Sequence[Location],
    out: Location | None = None,
    average: Average | None = None,
    format: TableFormat = "full",
    coverage: float = 0.9,
    sets: Sets = "all",
    risk: float = 0.05,
    engine: Engine = "auto",
    device: str | None = None,
    tta: TtaViews | None = None,
    cascade: float | None = None,
    only: Location | None = None,
    prior: Annotated[bool, Parameter(negative="--no-prior")] = True,
    promise: float | None = None,
    costs: Location | None = None,
    review: Location | None = None,
    timelapse: Location | None = None,
    camtrap_dp: Location | None = None,
    darwin_core: Location | None = None,
    sort: Location | None = None,
    copy: bool = False,
    tag: bool = False,
    resume: bool = False,
    watch: bool = False,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "PredictionTable":
    """Predict images or folders of images with a run.

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
        .tsv or .parquet), a file of boxes such as MegaDetector's (.json), an image; or
        several of these, such as *.jpg.
    out
        New table to write, .csv or .parquet. Without it the answers are printed, of up to
        200 images.
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
    device
        cpu, or the kind of GPU: cuda, mps or xpu. Default: the GPU, if there is one.
    tta
        Test-time augmentation: number of views of each image that are averaged: 1 the
        image, 2 also its mirror image, 5 the image and its four corners. The confidence
        was calibrated for the number in the run's recipe, which is the default.
    cascade
        Let an image stop after one member where that member is so confident that at most
        this share of such answers is wrong: 0.01, 0.02, 0.05 or 0.1. Of several views, that
        member sees the first alone. Learnt from the out-of-fold predictions; what it costs
        is printed, and the column stopped_early tells which images stopped. What is
        accepted, set and promised is learnt from such answers, too. Saves time
        where there are several views, also of a single member, and where members share
        little, as those of best and paper. Default: all members compute all views of every image.
    only
        Text file with one class a line: no other class is answered. Classes called empty
        stay. The column removed has the probability that the list took from each image.
    prior
        Let the place and month of an image count (columns lat, lon and time), where the
        run has learnt out of fold that they help.
    promise
        Precision to promise of each class's label, such as 0.95. The column promised tells
        which labels keep it, each class with 95 % certainty, as learnt from the
        out-of-fold predictions. Classes with too few images are named: nothing is promised
        of them.
    costs
        What mistakes cost: a table (label,cost, and answer if you like) or a TOML file
        (lynx = 20). What it does not name costs 1. The columns decision and expected_cost
        have the answer of least expected cost. balanced: a mistake costs the inverse of
        its class's share, which favors rare classes.
    review
        Folder for the page review.html: check images that were drawn at random, which gives
        the accuracy on these images with an interval, and correct the least sure. It
        saves reviewed.csv, which train takes.
    timelapse
        Also write a .json file in MegaDetector's format with the classes of each box, as
        Timelapse and AddaxAI read it. What is not accepted is "unclassified" there, and in
        the next three.
    camtrap_dp
        Also write a Camtrap DP into this folder: deployments, media and observations. The
        images need a time and a position, from the columns time, lat, lon, site of a table
        or from EXIF.
    darwin_core
        Also write a .csv file of Darwin Core occurrences.
    sort
        Also sort the images into this new folder, by certainty and class, as links. The
        originals stay as they are.
    copy
        Sort copies instead of links.
    tag
        Also write the classes as keywords next to each image: a.jpg.xmp for a.jpg, which
        photo programs read. The images stay as they are.
    resume
        Resume an interrupted prediction. The table is the same as without interruption.
    watch
        Keep predicting images that are added to the folder (by a camera trap), each as
        soon as it is complete, until Ctrl-C. The table is written when no image is
        waiting. --watch --resume goes on later. Each image is answered by itself: boxes,
        times, events and places are for the finished folder.
    overrides
        data.root=FOLDER: the folder that the paths of a table or of boxes start from.
        data.boxes=FILE: the boxes in the images, each of which is predicted, such as those
        of MegaDetector; data.box_confidence=0.2: how sure the detector must be, if not as
        in the run's training.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> result = bestiary.predict("run", "new", out="prediction.csv", quiet=True)
    >>> result.table.select("path", "label", "confidence").shape
    (9, 3)
    """
    from dataclasses import replace

    from bestiary.api.trained_listing import flattened, trained_listing
    from bestiary.display import Display
    from bestiary.ensemble.answers import PredictionOptions
    from bestiary.ensemble.caveats import TrainedFiles
    from bestiary.ensemble.exchange.outputs import Outputs
    from bestiary.ensemble.predictions import PredictJob
    from bestiary.evaluation.drifting import drift_monitor
    from bestiary.model.device import chosen_device
    from bestiary.recipe.load import load_data_options
    from bestiary.run.opening import opened_run
    from bestiary.signals import Interrupts

    outputs = Outputs.of(timelapse, camtrap_dp, darwin_core, sort, copies=copy, tag=tag)
    outputs.check()
    _check_finished(watch, format, "--review" if review else outputs.first)
    _check_columns(format, promise=promise, costs=costs)
    options = PredictionOptions(coverage, sets, risk)
    data = load_data_options(overrides)
    paths = tuple(flattened(images))
    display = Display(quiet)
    with chosen_device(device), _table_place(out, watch, resume, format) as table:
        job = PredictJob(paths, table, average, format, options, resume, data, cascade)
        with opened_run(os.fspath(run)) as opened:
            ensemble = _load(opened, engine, tta, cascade, (promise, costs), display)
            trained = TrainedFiles.of(opened)
            rules = _field_rules(opened, ensemble, only, prior, display)
            data = trained_listing(opened, paths, overrides, display)
            job = replace(job, rules=rules, is_kept=out is not None, data=data)
            monitor = None if cascade is not None else drift_monitor(opened, ensemble, watch)
        with Interrupts():
            try:
                result = _predict(ensemble, job, display, trained, outputs, monitor, watch)
            except KeyboardInterrupt:
                if out is not None:
                    display.notice("Interrupted. To go on: the same command with --resume")
                raise
        if watch:
            return result
        result = _finish(result, ensemble, outputs, job, str(run), review)
        return result if out is not None else replace(result, files=[], kept=result.table)


def _predict(
    ensemble: "Ensemble",
    job: "PredictJob",
    display: "Display",
    trained: "TrainedFiles",
    outputs: "Outputs",
    monitor: "DriftMonitor | None",
    watch: bool,
) -> "PredictionTable":
    """Predict the images or watch their folder; say whether they are of another world."""
    from functools import partial

    from bestiary.ensemble.caveats import nothing_sure
    from bestiary.ensemble.predictions import predict_folder, watch_folder

    if unsure := nothing_sure(ensemble, job.options.risk):
        display.notice(unsure)
    if watch:
        watcher = partial(monitor.notify, display.notice) if monitor else None
        return watch_folder(ensemble, job, display, trained, watcher)
    add = monitor.add if monitor else None
    result = predict_folder(ensemble, job, display, trained, outputs.check_root, add)
    if monitor and (line := monitor.line()):
        display.notice(line)
    return result


@contextmanager
def _table_place(
    out: Location | None, watch: bool, resume: bool, format: TableFormat
) -> Iterator[Path]:
    """Yield the table to write: a new one, one to resume, or a temporary one to print."""
    from bestiary.errors import ArgumentError

    if out is not None:
        place = Path(out)
        if place.is_file() and not resume:
            raise ArgumentError(
                f"--out {out}: exists, and predictions are never overwritten; choose another name"
            )
        yield place
        return
    needs = {"--watch": watch, "--resume": resume, "--format submission": format == "submission"}
    for option, is_given in needs.items():
        if is_given:
            raise ArgumentError(f"{option}: needs a table; add --out prediction.csv")
    with TemporaryDirectory(prefix="bestiary-predict-") as folder:
        yield Path(folder) / "prediction.csv"


def _load(
    run: "Run",
    engine: Engine,
    tta: TtaViews | None,
    cascade: float | None,
    decisions: tuple[float | None, Location | None],
    display: "Display",
) -> "Ensemble":
    """Load the ensemble of a run, and say what a reader of its answers should know."""
    from bestiary.ensemble.caveats import missing_members
    from bestiary.ensemble.ensemble import Ensemble
    from bestiary.ensemble.members import say_first_start
    from bestiary.evaluation.cascading import apply_cascade, learn_cascade
    from bestiary.evaluation.deciding import apply_decisions
    from bestiary.numbers import count

    say_first_start(run, engine, display)
    ensemble = Ensemble.load(run, engine=engine, tta=tta)
    stops = None
    if cascade is not None:
        stops = learn_cascade(run, ensemble, cascade)
        apply_cascade(run, ensemble, stops, engine)
        display.notice(str(stops))
    decided = apply_decisions(run, ensemble, *decisions, stops)
    display.line(f"{count(len(ensemble.folds), 'member')} by {ensemble.engine}")
    caveats = [ensemble.fallback_reason, missing_members(run, ensemble), *decided]
    for notice in filter(None, caveats):
        display.notice(notice)
    return ensemble


def _field_rules(
    run: "Run", ensemble: "Ensemble", only: Location | None, prior: bool, display: "Display"
) -> "FieldRules | None":
    """Read what changes answers in the field; None if nothing does."""
    from bestiary.ensemble.field_rules import FieldRules
    from bestiary.ensemble.only import read_only

    classes = ensemble.classes_.tolist()
    allowed = None
    if only is not None:
        allowed, line = read_only(Path(only), classes)
        display.notice(line)
    rules = FieldRules.load(run, classes, ensemble.calibration, allowed, with_prior=prior)
    return None if rules.is_empty else rules


def _check_finished(watch: bool, format: TableFormat, option: str) -> None:
    """Refuse what leaves no finished table for an option; empty: there is none."""
    from bestiary.errors import ArgumentError

    if option and (watch or format == "submission"):
        other = "--watch" if watch else "--format submission"
        raise ArgumentError(f"{option}: shows a finished full table; leave {other} out")


def _check_columns(format: TableFormat, **asked: object) -> None:
    """Refuse what needs more columns than a submission has."""
    from bestiary.errors import ArgumentError

    names = [name for name, value in asked.items() if value is not None]
    if names and format == "submission":
        table = "shows a finished full table" if names[0] == "review" else "needs the full table"
        raise ArgumentError(f"--{names[0]}: {table}; leave --format submission out")


def _finish(
    result: "PredictionTable",
    ensemble: "Ensemble",
    outputs: "Outputs",
    job: "PredictJob",
    run: str,
    review: Location | None,
) -> "PredictionTable":
    """Write the files for others and the page to review the predictions on, if asked for."""
    if outputs.first:
        result = _with_others(result, ensemble, outputs, job, run)
    if review is None:
        return result
    return _with_review(result, ensemble.classes_.tolist(), run, Path(review))


def _with_others(
    result: "PredictionTable", ensemble: "Ensemble", outputs: "Outputs", job: "PredictJob", run: str
) -> "PredictionTable":
    """Write the files for others."""
    from dataclasses import replace
    from datetime import UTC, datetime

    from bestiary.ensemble.exchange.answers import Classifier
    from bestiary.run.opening import opened_run
    from bestiary.run.taxonomy import read_run_taxonomy
    from bestiary.version import VERSION

    with opened_run(os.fspath(run)) as opened:
        taxonomy = read_run_taxonomy(opened)
        name = f"bestiary {VERSION}, run {opened.name} ({ensemble.digest[:12]})"
    classifier = Classifier(name, datetime.now(UTC), ensemble.classes_.tolist(), taxonomy)
    lines = outputs.write(result.table, result.root, classifier, job.boxes_file)
    return replace(result, others=tuple(lines))


def _with_review(
    result: "PredictionTable", classes: list[str], run: str, folder: Path
) -> "PredictionTable":
    """Write the page to review the predictions on."""
    from dataclasses import replace

    from bestiary.evaluation.review import choose_review
    from bestiary.reporting.review_page import write_review

    chosen = choose_review(result.table, result.root, classes)
    return replace(result, review=write_review(chosen, run, folder))
