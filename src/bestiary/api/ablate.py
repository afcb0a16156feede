"""The verb that shows what each part of a recipe does: ablate."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Many, Place
from bestiary.model.compute import best_device

if TYPE_CHECKING:
    from bestiary.display import Display
    from bestiary.reporting.ablation_page import Ablation
    from bestiary.run.run import Run
    from bestiary.training.checkpointer import Checkpointer


def ablate(
    data: Place,
    run: Place,
    /,
    *,
    vary: Annotated[Sequence[str], Many],
    recipe: Place | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    seeds: str = "0",
    test_data: Place | None = None,
    cluster: str | None = None,
    resume: bool = False,
    quiet: bool = False,
) -> "Ablation":
    """Train variants of a recipe on the same images, folds and seeds, and say what each part of it
    does.

    Each variant differs from the base recipe in one value: not a grid, so that
    every row shows one part, and costs grow with the number of values.

    bestiary ablate DATA RUN --vary optimizer.lr=1e-5,1e-4 mix.probability=0

    What a report on backbones, tricks and ensemble rules needs:

    bestiary ablate DATA RUN --recipe paper --set model.weights=default
    --vary model.backbone=torchvision/resnet152,timm/resnest200e

    bestiary ablate DATA RUN --recipe paper
    --vary mix.probability=0 loss.kind=focal model.normalize=true

    bestiary ablate DATA RUN --vary predict.average=probabilities,vote --test-data NEW

    Members are averaged in another way without being trained again; out of fold
    each image has one member, so that such rules need images that are new.

    Parameters ---------- data Folder of class folders, or a table, as for train. run Folder for the
    runs (one for each variant and seed), ablation.csv, ablation.md and a page that compares them.
    vary Options to vary, each as section.key=value,value. A value that holds commas stands in
    brackets or quotes: view.scale=[0.2,1.0],[0.6,1.0] recipe Of the base: best, best-gpu, paper,
    fast, probe, or the path of a TOML file. Default: best, or best-gpu where there is a GPU.
    overrides Options of the base as section.key=value; see bestiary train --help. seeds Seeds of
    training, such as 0,1,2: every variant is trained with each. With one, the intervals do not know
    how much two trainings of the same recipe differ. test_data Labeled images that are new (folder
    of class folders, or a table) to judge the ensembles by, too. cluster ray, or ray://HOST:PORT:
    the folds of all variants are trained side by side by the machines of a Ray cluster, as train
    --cluster does it. resume Go on: what is trained stays, and values and seeds may be added. quiet
    Show no progress.
    """
    from bestiary.api.durations import parse_duration
    from bestiary.display import Display
    from bestiary.errors import ArgumentError
    from bestiary.evaluation.ablation import judge_held_out, judge_out_of_fold
    from bestiary.recipe.defaults import default_recipe
    from bestiary.reporting.ablation_page import write_ablation
    from bestiary.signals import Interrupts
    from bestiary.training.checkpointer import Checkpointer
    from bestiary.training.variants import begin_variants, parse_seeds, plan_variants

    if cluster is not None:
        from bestiary.cluster.connection import check_address

        check_address(cluster)
    place, display = Path(run), Display(quiet)
    variants, numbers = (
        plan_variants(recipe or default_recipe(best_device().type), overrides, vary),
        parse_seeds(seeds),
    )
    alike = [v.name for v in variants[1:] if v.folder in {o.folder for o in variants if o is not v}]
    if alike and test_data is None:
        raise ArgumentError(
            f"--vary {alike[0]}: out of fold each image has one member; give new images by "
            f"--test-data"
        )
    with Interrupts() as interrupts:
        try:
            runs = begin_variants(Path(data), place, variants, numbers, resume, display)
            train_variants(runs, cluster, Checkpointer(parse_duration("5min"), interrupts), display)
        except KeyboardInterrupt:
            display.notice("Interrupted. To go on: the same command with --resume")
            raise
    by_variant = {variant.name: list(runs[variant.name].values()) for variant in variants}
    trained = {v.name: by_variant[v.name] for v in variants if v.name not in alike}
    rows = judge_out_of_fold(trained) if len(trained) > 1 else []
    if test_data is not None:
        rules = {variant.name: variant.recipe.predict.average for variant in variants}
        rows += judge_held_out(by_variant, rules, Path(test_data), display)
    return write_ablation(rows, by_variant, place)


def train_variants(
    runs: "Mapping[str, Mapping[int, Run]]",
    cluster: str | None,
    checkpointer: "Checkpointer",
    display: "Display",
) -> None:
    """Train every run (variant -> seed -> run) that is not finished; a run of several variants
    once.
    """
    apart = {run.path: run for of_variant in runs.values() for run in of_variant.values()}
    waiting = [run for run in apart.values() if run.score_line is None]
    if cluster is None:
        train_here(waiting, checkpointer, display)
    elif waiting:
        train_on_cluster(waiting, cluster, checkpointer, display)
    for run in apart.values():
        display.line(f"{run.path}: {run.score_line}")


def train_here(runs: "Sequence[Run]", checkpointer: "Checkpointer", display: "Display") -> None:
    """Train and finish one run after the other."""
    from bestiary.evaluation.finish import finish_run
    from bestiary.training.crossval import train_folds

    for number, run in enumerate(runs, 1):
        display.line(f"\n{number} of {len(runs)}: {run.path}")
        train_folds(run, run.fold_numbers(), checkpointer, display)
        finish_run(run)


def train_on_cluster(
    runs: "Sequence[Run]", cluster: str, checkpointer: "Checkpointer", display: "Display"
) -> None:
    """Train the folds of all runs on Ray, and finish the runs."""
    from bestiary.cluster.connection import Connection
    from bestiary.cluster.folds import FoldJob, train_on_ray
    from bestiary.evaluation.finish import finish_run
    from bestiary.storage.files import location

    jobs = [
        FoldJob(location(run.path), fold, run.read_recipe().train.threads)
        for run in runs
        for fold in run.fold_numbers()
    ]
    with Connection(cluster) as connection:
        train_on_ray(jobs, connection, checkpointer.every, 1, display)
    for run in runs:
        finish_run(run)
