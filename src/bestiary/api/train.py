"""The verb `train`: labeled images -> a run with a trained k-fold ensemble and its score."""

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import (
    Data,
    Labels,
    Location,
    Many,
    RunLocation,
    Unlabeled,
    with_short_ways,
)
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.api.run import Run


@checked_arguments
def train(
    data: Data,
    run: RunLocation,
    /,
    *,
    labels: Labels = None,
    recipe: Location | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    budget: str | None = None,
    folds: str | int | None = None,
    epochs: int | None = None,
    batch: int | None = None,
    seed: int | None = None,
    device: str | None = None,
    only_fold: Annotated[Sequence[int], Many] = (),
    fixes: Location | None = None,
    not_duplicates: Location | None = None,
    unlabeled: Unlabeled = None,
    resume: bool = False,
    checkpoint_every: str = "5min",
    processes: int = 1,
    cluster: str | None = None,
    dry_run: bool = False,
    quiet: bool = False,
) -> "Run":
    """Train a k-fold ensemble on a folder of labeled images.

    DATA is a folder with one folder of images for each class, or train/ and val/
    folders of these. Or it is a CSV or Parquet table with the columns path and label,
    and group and split if there are any. RUN is a new folder for the results.

    bestiary train images run --set train.epochs=6 view.size=192

    Parameters
    ----------
    data
        Folder of class folders, or a table.
    run
        Folder for the results. Nothing in it is ever overwritten.
    labels
        In Python alone. DATA may be a frame of polars or pandas with the columns of a table; or
        a list of paths, whose labels are given here.
    recipe
        best, best-gpu, paper, fast, probe, foundation, or the path of a TOML file; the first
        three fine-tune a network, the next three fit heads on a frozen one. Default: best, or
        best-gpu where there is a GPU and its weights are here or can be fetched; with
        --resume, the run's own.
    overrides
        Options of the recipe as section.key=value, which bestiary options lists.
    budget
        Time for everything, such as 10min, 30min or 2h, or auto for this device's default.
        Heads on the frozen network come first; then one fold shows whether fine-tuning and
        larger images pay on these images, and the rest of the time goes that way. Where the
        folds would end too late, the heads remain. The fold that the choice was made on is
        not scored. Trials are variants of --recipe.
    folds
        Number of folds, or a CSV or Parquet file of your own with the columns path,fold.
    epochs
        Epochs of each fold; the recipe's train.epochs.
    batch
        Images in a step; the recipe's train.batch_size.
    seed
        Seed of every random draw in training; the recipe's train.seed. The folds have their
        own, folds.seed.
    device
        cpu, or the kind of GPU: cuda, mps or xpu. Default: the GPU, if there is one.
    only_fold
        Train only these folds, numbered from 0: several machines can share the work.
    fixes
        Table of decided labels, as bestiary labels writes it. Nothing in DATA is touched.
    not_duplicates
        Table of decided pairs, as bestiary scan --out writes it: those whose decision is no
        are no near duplicates.
    unlabeled
        More images of the same kinds, without labels: a folder, or a table. The heads learn
        from their own guesses for these. Near duplicates of labeled images are left out.
    resume
        Resume a run where it was left. The result is the same, bit for bit, as without the
        interruption; on a GPU only with --set train.deterministic=true.
    checkpoint_every
        Time between checkpoints inside an epoch, such as 90s, 5min or 2h, or never. One is
        also saved after each epoch, and when Ctrl-C or SIGTERM stops the run. Checkpoints
        take at most 1 % of the time.
    processes
        Processes of this machine that train together, one for each GPU. With GPUs, folds are
        trained side by side, one GPU each, unless the batch has 64 images or more for each
        GPU; then, and on CPUs, all processes train each fold together. Leave it out under
        torchrun, accelerate launch or srun, which set the number.
    cluster
        ray, or ray://HOST:PORT: the machines of a Ray cluster train the folds side by side.
        All of them must see DATA and RUN. Each fold takes one GPU a process, or without
        GPUs a machine's cores (or train.threads).
    dry_run
        Read the images, say what would be trained and how long it would take, and write
        nothing.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> run = bestiary.train(
    ...     "images", "my-run", recipe="fast", overrides=["view.size=32"], folds=3, quiet=True
    ... )
    >>> print(run.score_line)
    Out-of-fold accuracy ... (95 % interval ...), 36 images
    """
    from bestiary.api.train_steps import Wanted, data_on_disk, train_wanted
    from bestiary.model.device import chosen_device

    overrides = with_short_ways(overrides, epochs, batch, seed)
    place, overrides = data_on_disk(data, labels, overrides)
    wanted = Wanted(
        place,
        os.fspath(run),
        recipe,
        overrides,
        budget,
        folds,
        only_fold,
        fixes,
        not_duplicates,
        unlabeled,
        resume,
        checkpoint_every,
        processes,
        cluster,
        dry_run,
        quiet,
    )
    with chosen_device(device):
        return train_wanted(wanted)
