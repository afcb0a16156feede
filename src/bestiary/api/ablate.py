"""The verb `ablate`: variants of a recipe, trained and compared, to show what each part does."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many, with_short_ways
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.display import Display
    from bestiary.evaluation.ablation import AblationRow
    from bestiary.reporting.ablation_page import Ablation
    from bestiary.run.run import Run
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.variants import Variant

CHECKPOINT_SECONDS = 300.0


@checked_arguments
def ablate(
    data: Location,
    run: Location,
    /,
    *,
    vary: Annotated[Sequence[str], Many],
    recipe: Location | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    folds: int | None = None,
    seeds: str = "0",
    test_data: Location | None = None,
    cluster: str | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> "Ablation":
    """Train variants of a recipe, and compare them.

    Each variant differs from the base recipe in one value. This is not a grid: every
    row shows one part, and the cost grows with the number of values.

    bestiary ablate DATA RUN --vary optimizer.lr=1e-5,1e-4 mix.probability=0

    What a report on backbones, tricks and ensemble rules needs:

    bestiary ablate DATA RUN --recipe paper --set model.weights=default
    --vary model.backbone=torchvision/resnet152,timm/resnest200e

    bestiary ablate DATA RUN --recipe paper
    --vary mix.probability=0 loss.kind=focal model.normalize=true

    bestiary ablate DATA RUN --vary predict.average=probabilities,vote --test-data NEW

    Variants that only average the members in another way are not trained again. Out
    of fold, each image has one member: such variants need new images.

    Parameters
    ----------
    data
        Folder of class folders, or a table, as for train.
    run
        Folder for the runs (one for each variant and seed), ablation.csv, ablation.md and
        a page that compares them.
    vary
        Options to vary, each as section.key=value,value. Put brackets or quotes around a
        value with commas: view.scale=[0.2,1.0],[0.6,1.0]
    recipe
        Base recipe: best, best-gpu, paper, fast, probe, foundation, or the path of a TOML
        file. Default: best, or best-gpu where there is a GPU and its weights can be had.
    overrides
        Options of the base recipe as section.key=value, which bestiary options lists.
    folds
        Number of folds; the recipe's folds.n.
    seeds
        Seeds of training, such as 0,1,2. Every variant is trained with each. With one
        seed, the intervals do not cover the difference between two trainings of the same
        recipe.
    test_data
        Labeled images that are new (folder of class folders, or a table), to score the
        ensembles on as well.
    cluster
        ray, or ray://HOST:PORT: the machines of a Ray cluster train the folds of all
        variants side by side, as with train --cluster.
    resume
        Resume: trained variants stay, and values and seeds may be added.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> ablation = bestiary.ablate(
    ...     "images", "ablation", recipe="probe", vary=["model.power_norm=false"]
    ... )  # doctest: +SKIP
    >>> [row.variant for row in ablation.rows]  # doctest: +SKIP
    ['base', 'model.power_norm=false']
    """
    from bestiary.display import Display
    from bestiary.reporting.ablation_page import write_ablation
    from bestiary.signals import Interrupts
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.request import choose_default_recipe
    from bestiary.training.variants import begin_variants, parse_seeds, plan_variants

    if cluster is not None:
        from bestiary.cluster.connection import check_address

        check_address(cluster)
    overrides = with_short_ways(overrides, folds=folds)
    folder = Path(run)
    display = Display(quiet)
    base = recipe or choose_default_recipe(overrides, display)
    variants = plan_variants(base, overrides, vary)
    seed_numbers = parse_seeds(seeds)
    sharing = _sharing_runs(variants, test_data)

    with Interrupts() as interrupts:
        try:
            runs = begin_variants(Path(data), folder, variants, seed_numbers, resume, display)
            checkpointer = Checkpointer(CHECKPOINT_SECONDS, interrupts)
            train_variants(runs, cluster, checkpointer, display)
        except KeyboardInterrupt:
            display.notice("Interrupted. To go on: the same command with --resume")
            raise
    by_variant = {variant.name: list(runs[variant.name].values()) for variant in variants}
    rows = _evaluate(variants, by_variant, sharing, test_data, display)
    return write_ablation(rows, by_variant, folder)


def _sharing_runs(variants: "Sequence[Variant]", test_data: Location | None) -> list[str]:
    """Name the variants after the base that share their runs with another variant.

    Raises:
        ArgumentError: there are such variants, but no new images to compare them on.
    """
    from bestiary.errors import ArgumentError

    folders = [variant.folder for variant in variants]
    sharing = [variant.name for variant in variants[1:] if folders.count(variant.folder) > 1]
    if sharing and test_data is None:
        raise ArgumentError(
            f"--vary {sharing[0]}: out of fold each image has one member; give new images by "
            "--test-data"
        )
    return sharing


def _evaluate(
    variants: "Sequence[Variant]",
    by_variant: "Mapping[str, Sequence[Run]]",
    sharing: Sequence[str],
    test_data: Location | None,
    display: "Display",
) -> "list[AblationRow]":
    """Score the variants out of fold, then the ensembles on new images."""
    from bestiary.evaluation.ablation import evaluate_held_out, evaluate_out_of_fold

    trained = {name: runs for name, runs in by_variant.items() if name not in sharing}
    rows = evaluate_out_of_fold(trained) if len(trained) > 1 else []
    if test_data is not None:
        rules = {variant.name: variant.recipe.predict.average for variant in variants}
        rows += evaluate_held_out(by_variant, rules, Path(test_data), display)
    return rows


def train_variants(
    runs: "Mapping[str, Mapping[int, Run]]",
    cluster: str | None,
    checkpointer: "Checkpointer",
    display: "Display",
) -> None:
    """Train every run that is not finished. A run that several variants share is trained once.

    Args:
        runs: variant -> seed -> run.
        cluster: address of a Ray cluster; None for this machine.
        checkpointer: when to save checkpoints.
        display: shows the progress.
    """
    unique = {run.path: run for by_seed in runs.values() for run in by_seed.values()}
    unfinished = [run for run in unique.values() if run.score_line is None]
    if cluster is None:
        train_here(unfinished, checkpointer, display)
    elif unfinished:
        train_on_cluster(unfinished, cluster, checkpointer, display)
    for run in unique.values():
        display.line(f"{run.path}: {run.score_line}")


def train_here(runs: "Sequence[Run]", checkpointer: "Checkpointer", display: "Display") -> None:
    """Train and finish one run after the other."""
    from bestiary.evaluation.finish import finish_run
    from bestiary.training.crossval import train_folds
    from bestiary.training.tracking.start import track_scores

    for count, run in enumerate(runs, 1):
        display.line("")
        display.line(f"{count} of {len(runs)}: {run.path}")
        train_folds(run, run.fold_numbers(), checkpointer, display)
        finish_run(run)
        track_scores(run, display.notice)


def train_on_cluster(
    runs: "Sequence[Run]", cluster: str, checkpointer: "Checkpointer", display: "Display"
) -> None:
    """Train the folds of all runs on Ray, then finish the runs."""
    from bestiary.cluster.connection import Connection
    from bestiary.cluster.folds import cluster_folds, train_on_ray
    from bestiary.evaluation.finish import finish_run
    from bestiary.storage.files import location
    from bestiary.training.tracking.start import track_scores

    folds = []
    for run in runs:
        folds += cluster_folds(run, location(run.path), run.fold_numbers())
    with Connection(cluster) as connection:
        train_on_ray(folds, connection, checkpointer.every, 1, display)
    for run in runs:
        finish_run(run)
        track_scores(run, display.notice)
