"""The verb `probe`: an ensemble of linear heads on a frozen network, in about a minute."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Data, Labels, Location, Many, RunLocation, Unlabeled
from bestiary.api.train import train
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.api.run import Run


@checked_arguments
def probe(
    data: Data,
    run: RunLocation,
    /,
    *,
    labels: Labels = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: str | int | None = None,
    seed: int | None = None,
    device: str | None = None,
    fixes: Location | None = None,
    not_duplicates: Location | None = None,
    unlabeled: Unlabeled = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> "Run":
    """Train a first classifier: an honest score in a minute.

    The frozen pretrained network sees each image once, and its features are cached
    for later runs. Then each fold fits a linear classifier, its head. This is train
    with the recipe probe, and the result is a run like any other.

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Folder for the results. Nothing in it is ever overwritten.
    labels
        In Python alone. DATA may be a frame of polars or pandas with the columns of a table; or
        a list of paths, whose labels are given here.
    overrides
        Options of the recipe as section.key=value, which bestiary options lists.
    folds
        Number of folds, or a CSV or Parquet file of your own with the columns path,fold.
    seed
        Seed of every random draw; the recipe's train.seed. The folds have their own,
        folds.seed.
    device
        cpu, or the kind of GPU: cuda, mps or xpu. Default: the GPU, if there is one.
    fixes
        Table of decided labels, as bestiary labels writes it. Nothing in DATA is touched.
    not_duplicates
        Table of decided pairs, as bestiary scan --out writes it: those whose decision is no
        are no near duplicates.
    unlabeled
        More images of the same kinds, without labels: a folder, or a table. The heads learn
        from their own guesses for these. Near duplicates of labeled images are left out.
    dry_run
        Read the images, say what would be trained and how long it would take, and write
        nothing.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> run = bestiary.probe("images", "my-probe", folds=3, quiet=True)
    >>> print(run.score_line)
    Out-of-fold accuracy ... (95 % interval ...), 36 images

    From a list of paths and their labels:

    >>> from pathlib import Path
    >>> paths = sorted(Path("images").glob("*/*.jpg"))
    >>> labels = [path.parent.name for path in paths]
    >>> run = bestiary.probe(paths, "from-lists", labels=labels, folds=3, quiet=True)
    """
    return train(
        data,
        run,
        labels=labels,
        recipe="probe",
        overrides=overrides,
        folds=folds,
        seed=seed,
        device=device,
        fixes=fixes,
        not_duplicates=not_duplicates,
        unlabeled=unlabeled,
        dry_run=dry_run,
        quiet=quiet,
    )
