"""The verbs that make a run: train, probe, demo."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place
from bestiary.api.pictures import sample
from bestiary.api.using import evaluate, predict

if TYPE_CHECKING:
    from bestiary.run import Run
else:  # the command line reads the annotations; what the verbs return is none of its business
    Run = Any


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
