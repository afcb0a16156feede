"""The verbs, one function each, for Python and the command line alike: composition only.

A function's signature and docstring are the command's options and help. What it returns prints itself; anything heavy
is imported when the verb runs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

if TYPE_CHECKING:
    from bestiary.data.audit import Audit
    from bestiary.data.beasts import SampleSummary
    from bestiary.ensemble import Ensemble, Predictions
    from bestiary.evaluate import Evaluation, LabelReport, Summary
    from bestiary.report.compare_page import Compared
    from bestiary.report.report import Report
    from bestiary.run import Run
else:  # the command line reads the annotations; what the verbs return is none of its business
    Audit = Compared = Ensemble = Evaluation = LabelReport = Predictions = Report = Run = SampleSummary = Summary = Any

Place = str | Path
Many = Parameter(consume_multiple=True)


def sample(
    directory: Place,
    /,
    *,
    species: int = 20,
    per_species: int = 40,
    size: int = 160,
    seed: int = 0,
    label_noise: float = 0.0,
    near_duplicates: float = 0.0,
    corrupt: float = 0.0,
    unknown: float = 0.0,
    quiet: bool = False,
) -> "SampleSummary":
    """Draw a data set of invented beasts into class folders, with faults planted where asked.

    Parameters
    ----------
    directory
        New or empty folder for the pictures; truth.csv in it says what each picture is.
    species
        Number of classes, 2 to 100.
    per_species
        Pictures of each class.
    size
        Long side of a picture in pixels, 32 to 1024.
    seed
        The same seed draws the same pictures.
    label_noise
        Share of the pictures that lie in a wrong class folder, 0 to 0.5.
    near_duplicates
        Share of altered copies (re-encoded, resized, cropped, flipped, brightened) to add.
    corrupt
        Share of the files that are damaged.
    unknown
        Share of pictures of species that belong to no class to add, in DIRECTORY-unknown.
    quiet
        Show no progress.
    """
    from bestiary.data.beasts import draw_sample
    from bestiary.display import Display

    with Display(quiet).counter("Drawing beasts") as tick:
        return draw_sample(
            Path(directory),
            species=species,
            per_species=per_species,
            size=size,
            seed=seed,
            label_noise=label_noise,
            near_duplicates=near_duplicates,
            corrupt=corrupt,
            unknown=unknown,
            progress=tick,
        )


def scan(data: Place, /, *, out: Place | None = None, quiet: bool = False) -> "Audit":
    """Look for what makes scores lie: unreadable and odd pictures, copies, conflicting labels, leaks, odd classes.

    train does the same before it deals the folds. Nothing in DATA is touched, and what was read once is remembered.
    Exit status: 0, or 1 when there are unusable files, copies with different labels or copies across the test split.

    Parameters
    ----------
    data
        Folder of class folders (or of train/, val/ and test/), or a table, as for train.
    out
        Folder for the findings: quarantine.csv, warnings.csv, copies.csv, classes.csv, and scan.html, a page that
        shows them with their pictures.
    quiet
        Show no progress.
    """
    from bestiary.atomic import write_text
    from bestiary.data.audit import audit_pictures
    from bestiary.data.listing import list_labelled, list_test
    from bestiary.display import Display
    from bestiary.report.scan_page import scan_page

    audit = audit_pictures(list_labelled(Path(data)), list_test(Path(data)), Display(quiet))
    if out is not None:
        audit.write(Path(out))
        write_text(Path(out) / "scan.html", scan_page(audit))
    return audit


def train(
    data: Place,
    run: Place,
    /,
    *,
    recipe: Place | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: str | int | None = None,
    fold: Annotated[Sequence[int], Many] = (),
    fixes: Place | None = None,
    resume: bool = False,
    checkpoint_every: str = "5min",
    quiet: bool = False,
) -> "Run":
    """Train a k-fold ensemble on a folder of labelled pictures.

    DATA is a folder with one folder of pictures for each class (or train/ and
    val/ folders of these), or a CSV or Parquet table with the columns
    path,label[,group][,split]. RUN is a new folder for all that comes of it.

    bestiary train pictures run --recipe fast --set train.epochs=6 view.size=192

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Folder for the results; nothing in it is ever overwritten.
    recipe
        paper, fast, probe, or the path of a TOML file. Default: fast; with --resume, the run's own.
    overrides
        Options of the recipe as section.key=value, listed below.
    folds
        Number of folds, or a CSV or Parquet file of your own with the columns path,fold.
    fold
        Train only these folds (numbered from 0), so that several machines can share the work.
    fixes
        Table of decided labels that bestiary labels has written; nothing in DATA is touched.
    resume
        Go on with a run where it was left; it ends in the same bits as if nothing had happened.
    checkpoint_every
        Time between states kept inside an epoch, such as 90s, 5min or 2h, or never; one is kept after an epoch
        too, and when the run is stopped by Ctrl-C or SIGTERM. They take a hundredth of the time at most.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble import assemble
    from bestiary.evaluate import calibrate_run, score_run
    from bestiary.train.crossval import train_folds
    from bestiary.train.interrupts import Interrupts
    from bestiary.train.keeper import Keeper, seconds_of
    from bestiary.train.start import begin_or_resume, command_to_go_on

    display, decided, every = Display(quiet), Path(fixes) if fixes is not None else None, seconds_of(checkpoint_every)
    with Interrupts() as interrupts:
        try:
            begun = begin_or_resume(Path(data), Path(run), recipe, overrides, folds, fold, resume, display, decided)
            train_folds(begun, list(fold) or begun.folds, Keeper(every, interrupts), display)
            assemble(begun)
            calibrate_run(begun)
            score_run(begun)
        except KeyboardInterrupt:
            display.notice(f"Interrupted. To go on: {command_to_go_on(Path(data), Path(run), fold)}")
            raise
    return begun


def probe(
    data: Place,
    run: Place,
    /,
    *,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: str | int | None = None,
    fixes: Place | None = None,
    quiet: bool = False,
) -> "Run":
    """Train the heads of a k-fold ensemble alone: an honest number in about a minute.

    One pass of the frozen pretrained network over the pictures, kept for every later run; then a linear classifier
    for each fold. It is train with the recipe probe, and the result is a run like any other.

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Folder for the results; nothing in it is ever overwritten.
    overrides
        Options of the recipe as section.key=value; see bestiary train --help.
    folds
        Number of folds, or a CSV or Parquet file of your own with the columns path,fold.
    fixes
        Table of decided labels that bestiary labels has written; nothing in DATA is touched.
    quiet
        Show no progress.
    """
    return train(data, run, recipe="probe", overrides=overrides, folds=folds, fixes=fixes, quiet=quiet)


def load(run: "Place | Run", /) -> "Ensemble":
    """The ensemble of a run, with scikit-learn's verbs on paths, PIL pictures and uint8 arrays.

    Raises:
        RunError: no run is there, or none of its folds is trained.
    """
    from bestiary.ensemble import Ensemble

    return Ensemble.load(run)


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
    quiet: bool = False,
) -> "Predictions":
    """Predict a picture or a folder of pictures with all members of a run.

    Exit status: 0 when every picture was read, 1 when some could not be (each has its row with the reason), 2 when
    nothing could be done.

    Parameters
    ----------
    run
        Folder of a trained run.
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
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble import Caution, Ensemble, predict_folder

    caution = Caution(coverage, sets, risk)
    display, ensemble = Display(quiet), Ensemble.load(run, engine=engine)
    display.line(f"{len(ensemble.members)} members by {ensemble.engine}")
    if ensemble.refused:
        display.notice(ensemble.refused)
    return predict_folder(ensemble, Path(pictures), Path(out), average, format, display, caution)


def evaluate(run: Place, pictures: Place, /, *, out: Place | None = None, quiet: bool = False) -> "Evaluation":
    """Score a run on labelled pictures that it has not seen: every averaging rule, each member.

    Pictures that the run was trained on are left out of the scores, and so are copies of them: the same pixels in
    another file, or near copies (re-encoded, resized, cropped, mirrored, brighter, marked). What is left out is named.

    Parameters
    ----------
    run
        Folder of a trained run.
    pictures
        Folder of class folders, or a table with the columns path,label.
    out
        JSON file for the scores, besides the table on the screen.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.ensemble import Ensemble
    from bestiary.evaluate import evaluate_folder
    from bestiary.run import Run

    opened = Run.open(run)
    return evaluate_folder(opened, Ensemble.load(opened), Path(pictures), Path(out) if out else None, Display(quiet))


def labels(run: Place, /, *, out: Place | None = None) -> "LabelReport":
    """Find the labels of a run that are probably wrong, for a person to decide on.

    The members' predictions of pictures that they have not seen are weighed by confident learning (cleanlab).
    Decide on the page labels.html, which shows each suspect beside typical pictures and saves fixes.csv, or fill in
    that table's column action (keep, relabel, drop) by hand; then train with --fixes.

    Parameters
    ----------
    run
        Folder of a trained run.
    out
        Folder for fixes.csv, class_quality.csv, class_overlap.csv and the page labels.html. Default: RUN/labels
    """
    from bestiary.atomic import write_text
    from bestiary.evaluate import review_labels
    from bestiary.report.labels_page import labels_page
    from bestiary.run import Run

    opened = Run.open(run)
    report = review_labels(opened, Path(out) if out is not None else opened.file("labels"))
    report.write()
    write_text(report.folder / "labels.html", labels_page(report))
    return report


def report(
    run: Place,
    /,
    *,
    out: Place | None = None,
    format: Literal["html", "md", "pdf"] = "html",
    no_saliency: bool = False,
    quiet: bool = False,
) -> "Report":
    """Write the report of a run: its number and what stands behind it, what it gets wrong, whether it knows.

    The page is one file that opens without a connection. md and pdf are a text to hand in, with figures.

    Parameters
    ----------
    run
        Folder of a trained run.
    out
        File to write. Default: RUN/report.html, .md or .pdf
    format
        html: a page to explore. md: Markdown, its figures as SVG in figures/ beside it. pdf: the same text.
    no_saliency
        Leave out where the members looked, which has to run them.
    quiet
        Show no progress.
    """
    from bestiary.display import Display
    from bestiary.report.report import write_report
    from bestiary.run import Run

    place = Path(out) if out is not None else None
    return write_report(Run.open(run), place, format, not no_saliency, Display(quiet))


def compare(run: Place, other: Place, /, *more: Place, out: Place | None = None) -> "Compared":
    """Compare finished runs on the pictures they share: paired differences of accuracy, with intervals and a test.

    Each picture is judged by each run's member that has not seen it.

    Parameters
    ----------
    run
        Folder of the run that the others are compared with.
    other
        Folder of a run.
    more
        Folders of more runs.
    out
        Folder for compare.html, a page with the pictures won and lost, compare.md and compare.tex.
    """
    from bestiary.evaluate.compare import compare_runs
    from bestiary.report.compare_page import Compared, write_comparison
    from bestiary.run import Run

    found = compare_runs([Run.open(place) for place in (run, other, *more)])
    return Compared(found, []) if out is None else write_comparison(found, Path(out))


def show(run: Place, /) -> "Summary":
    """Show what a run is, how far it has come, and its out-of-fold score.

    Parameters
    ----------
    run
        Folder of a run, finished or not.
    """
    from bestiary.evaluate import summarise
    from bestiary.run import Run

    return summarise(Run.open(run))


def demo(
    directory: Place = "bestiary-demo", /, *, species: int = 20, per_species: int = 40, quiet: bool = False
) -> "Run":
    """Do the whole job on embedded data, without a connection: draw, train, predict, evaluate.

    Takes about two minutes on two cores.

    Parameters
    ----------
    directory
        Folder for everything; if it exists, a number is added to its name.
    species
        Number of classes to draw, 2 to 100.
    per_species
        Pictures of each class to draw; a fifth of them is held out from training.
    quiet
        Show no progress.
    """
    from bestiary.data.beasts import hold_out, new_folder
    from bestiary.display import Display

    place, display = new_folder(Path(directory)), Display(quiet)
    display.line(f"Everything goes to {place}/. Each step is a command that you can repeat.\n")
    display.line(f"$ bestiary sample {place}/pictures --species {species} --per-species {per_species}")
    display.line(f"{sample(place / 'pictures', species=species, per_species=per_species, quiet=quiet)}")
    held = hold_out(place / "pictures", place / "new", 0.2)
    display.line(f"{held:,} pictures were moved to {place}/new: training will not see them.\n")
    overrides = ["view.size=128", "view.eval_size=144"]
    display.line(f"$ bestiary train {place}/pictures {place}/run --recipe fast --set {' '.join(overrides)}")
    run = train(place / "pictures", place / "run", recipe="fast", overrides=overrides, quiet=quiet)
    display.line(f"{run.score_line}\n")
    display.line(f"$ bestiary predict {place}/run {place}/new --out {place}/prediction.csv")
    display.line(f"{predict(run.path, place / 'new', out=place / 'prediction.csv', quiet=quiet)}\n")
    display.line(f"$ bestiary evaluate {place}/run {place}/new")
    display.line(f"{evaluate(run.path, place / 'new', out=place / 'evaluation.json', quiet=quiet)}\n")
    display.line("Now with pictures of your own, one folder for each class: bestiary train PICTURES RUN\n")
    return run
