"""A data folder and a recipe -> a run: its manifest and folds first, then every fold in turn.

What is decided is written before anything is trained, and read back by everything after, so folds can be trained by
different processes. Knows nothing of ensembles and scores.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data import folds as dealing
from bestiary.data.audit import audit_pictures
from bestiary.data.fixes import ACTIONS, apply_fixes, read_fixes
from bestiary.data.listing import Listing, group_by_path, list_labelled, list_test
from bestiary.data.manifest import GROUP_KEYS, Manifest
from bestiary.data.store import PictureStore, default_folder
from bestiary.display import Display, TrainingDisplay
from bestiary.errors import DamagedError, DataError, RunError
from bestiary.model import check_member
from bestiary.model.arithmetic import Arithmetic
from bestiary.recipe import Recipe
from bestiary.run import FoldFiles, Run, read_oof
from bestiary.storage import StoredFolder
from bestiary.train.cost import measured
from bestiary.train.distilling import read_targets
from bestiary.train.features import frozen_features
from bestiary.train.keeper import Keeper
from bestiary.train.recovery import train_fold_safely
from bestiary.train.task import TrainingSet, store_side
from bestiary.train.trial import settle_arithmetic
from bestiary.train.world import World


def begin_run(
    data: str | Path,
    run: Run,
    recipe: Recipe,
    fold_file: Path | None,
    display: Display,
    fixes: Path | None = None,
    beside: Callable[[], object] | None = None,
) -> None:
    """Read the pictures, deal the folds and write both with the recipe and the labels that `fixes` decides.

    `beside` is called when the pictures are listed, before they are read, which may take long.

    Raises:
        DataError: the data cannot be used as it is.
        BestiaryError: the run's folder cannot be written.
    """
    listing, decided = _listed(data, recipe, fixes, display)
    if beside is not None:
        beside()
    audit = audit_pictures(listing, list_test(data, recipe.data.root), display)
    manifest = audit.manifest
    for reason, count in manifest.ignored.items():
        display.line(f"Ignored: {count:,} {reason}")
    for line in audit.lines():
        display.notice(line)
    groups = join(manifest)
    if fold_file is not None:
        folds = dealing.read_fold_file(fold_file, manifest.table["path"])
        recipe = recipe.with_folds(int(folds.max()) + 1)
        straddling = dealing.count_straddling(groups, folds)
        if straddling:
            display.notice(f"{fold_file}: {straddling:,} groups straddle its folds, so that the score will flatter")
    else:
        manifest, groups = _settle_rare_classes(manifest, groups, recipe, display)
        labels = manifest.table["label"]
        folds = dealing.deal(manifest.table["path"], labels, groups, recipe.folds.n, recipe.folds.seed)
    check_scorable(manifest, folds)
    with run.lock():
        if run.exists:
            raise RunError(f"{run.path}: another process has begun it meanwhile; go on with it by --resume")
        run.write_table("quarantine.csv", manifest.quarantine)
        run.write_table("fixes.csv", decided)
        run.write_table("warnings.csv", audit.warnings)
        run.write_table("copies.csv", audit.copies)
        run.write_table("manifest.parquet", manifest.table, {"root": str(manifest.root)})
        run.write_table("folds.parquet", manifest.table.select("path").with_columns(pl.Series("fold", folds)))
        run.write_recipe(recipe)  # last: a folder with a recipe is a run that can be resumed
    display.line(f"{len(folds):,} pictures of {len(manifest.classes)} classes in {len(np.unique(folds))} folds")


def _listed(data: str | Path, recipe: Recipe, fixes: Path | None, display: Display) -> tuple[Listing, pl.DataFrame]:
    """The labelled pictures, with the labels and groups that are asked for, and what `fixes` decides."""
    listing = list_labelled(data, recipe.data.root)
    decided = read_fixes(fixes)
    listing = apply_fixes(listing, decided)
    if decided.height:
        counts = dict(decided["action"].value_counts().iter_rows())
        display.line(f"Fixes: {', '.join(f'{counts.get(action, 0):,} {action}' for action in ACTIONS)}")
    if recipe.data.group_pattern:
        listing = group_by_path(listing, recipe.data.group_pattern)
    return listing, decided


def join(manifest: Manifest) -> NDArray[np.int64]:
    """Groups of the pictures: those that share the user's group or are copies of one picture."""
    return dealing.join_groups(*(manifest.table[key] for key in GROUP_KEYS))


def check_scorable(manifest: Manifest, folds: NDArray[np.int64]) -> None:
    """Refuse a fold whose every picture has copies with another label: nothing would be left to score it by."""
    empty = set(folds.tolist()) - set(folds[~manifest.table["conflict"].to_numpy()].tolist())
    if empty:
        raise DataError(
            f"fold {min(empty)}: every picture has a copy with another label, so none can be scored; "
            "see bestiary scan, and settle the labels"
        )


def _settle_rare_classes(
    manifest: Manifest, groups: NDArray[np.int64], recipe: Recipe, display: Display
) -> tuple[Manifest, NDArray[np.int64]]:
    rare = dealing.check_class_sizes(manifest.table["label"], groups, recipe.folds.n)
    if not rare or recipe.folds.rare == "keep":
        return manifest, groups
    named = ", ".join(f"{label!r} ({count})" for label, count in rare[:3]) + (" ..." if len(rare) > 3 else "")
    if recipe.folds.rare == "error":
        least = rare[0][1]
        fewer = f"fewer folds (--folds {least}), " if least >= 2 else ""
        raise DataError(
            f"{len(rare)} of {len(manifest.classes)} classes have fewer separate pictures than {recipe.folds.n} folds: "
            f"{named}; add pictures, or choose {fewer}to leave these classes out (--set folds.rare=drop) or to deal "
            "what there is (--set folds.rare=keep)"
        )
    display.notice(f"Left out: {len(rare)} classes with fewer pictures than folds: {named}")
    kept = manifest.without([label for label, _ in rare], "class has fewer pictures than folds")
    if len(kept.classes) < 2:
        raise DataError(f"fewer than two classes have {recipe.folds.n} pictures; add pictures or choose fewer folds")
    return kept, join(kept)


def train_folds(run: Run, numbers: list[int], keeper: Keeper, display: Display) -> None:
    """Train those of the folds `numbers` that have not ended yet; `keeper` keeps their states.

    Raises:
        RunError: another process trains one of them.
        DataError: a picture has vanished.
        WeightsError: the backbone or its weights are not to be had.
    """
    world = keeper.world
    with world.together() as main:
        data = read_training_set(run)
        recipe = data.recipe
        left = [number for number in numbers if not ended_whole(run.fold(number), display)] if main else []
    waiting = world.tell(left)
    if not waiting:
        return
    data = replace(data, world=world)
    with world.together():
        if not world.local_rank:  # the others look at the same disk
            check_present(data)
    store = _open_store(data, display) if recipe.data.store and recipe.train.epochs else None
    data = replace(data, store=store)
    features = _features_once(data, display)
    try:
        arithmetic = _settle(run, data, display)
        with TrainingDisplay(display, waiting, len(run.folds), recipe.train.epochs) as live:
            for number in waiting:
                with _working(run.fold(number), world):
                    train_fold_safely(data, number, run.fold(number), features, arithmetic, keeper, live)
    finally:
        if store:
            store.close()


def settle_run(run: Run, display: Display) -> None:
    """Settle the run's arithmetic, before its folds are trained side by side; raises as `settle_arithmetic` does."""
    _settle(run, read_training_set(run), display)


def read_training_set(run: Run) -> TrainingSet:
    """What a run trains on, as its tables say; without a store.

    Raises:
        DamagedError: the tables are damaged or do not fit each other.
    """
    tables = run.read_table("manifest.parquet"), run.root, run.read_table("folds.parquet")
    data = TrainingSet.of(run.recipe, *tables)
    return replace(data, targets=read_targets(run, data))


def _settle(run: Run, data: TrainingSet, display: Display) -> Arithmetic:
    views = data.recipe.train.epochs * sum(len(data.rows(fold)[0]) for fold in run.folds)
    return settle_arithmetic(run, views, len(data.classes), display, data.world)


@contextmanager
def _working(files: FoldFiles, world: World) -> Iterator[None]:
    """A fold's training: the main process locks the fold and notes the costs."""
    with ExitStack() as held:
        with world.together() as main:
            if main:
                held.enter_context(files.lock())
                held.enter_context(measured(files))
        yield


def ended_whole(files: FoldFiles, display: Display) -> bool:
    """Whether a fold has ended and what it left is as it was written; what is damaged is made again."""
    if not files.ended:
        return False
    try:
        check_member(files.weights)
        read_oof(files)
    except DamagedError as error:
        display.notice(f"{error}; what is missing is made again")
        files.oof.unlink()
        return False
    return True


def check_present(data: TrainingSet) -> None:
    """Look whether every picture of the manifest is still there, before hours are spent on the others."""
    if not data.root.is_dir():
        raise DataError(f"{data.root}: the run's pictures are gone; put the folder back, then --resume")
    if isinstance(data.root, StoredFolder):  # one list, not a question for each picture
        there = data.root.list_files()
        missing = [path for path in data.paths if path not in there]
    else:
        missing = [path for path in data.paths if not (data.root / path).is_file()]
    if missing:
        raise DataError(
            f"{data.root}: {len(missing)} of the run's pictures are gone, first {missing[0]}; "
            "put them back, then --resume"
        )


def _open_store(data: TrainingSet, display: Display) -> PictureStore | None:
    if not data.world.local_rank:
        store, reason = _fill_store(data, display)
    data.world.agree(0)
    if data.world.local_rank:  # the first process of this machine has filled it
        store, reason = PictureStore(default_folder(), store_side(data.recipe)), None
    if reason is None:
        return store
    display.notice(f"Pictures are decoded anew in every epoch: {reason}")
    store.close()
    return None


def _fill_store(data: TrainingSet, display: Display) -> tuple[PictureStore, str | None]:
    store = PictureStore(default_folder(), store_side(data.recipe))
    order = data.reading_order(np.arange(len(data.paths)))
    pictures = [(digest, data.root / path) for digest, path in zip(data.digests[order], data.paths[order], strict=True)]
    with display.counter("Decoding pictures") as tick:
        return store, store.fill(pictures, data.sizes[order].tolist(), int(data.recipe.data.store_limit_gb * 1e9), tick)


def _features_once(data: TrainingSet, display: Display) -> Callable[[], NDArray[np.float32]]:
    """Frozen features of every picture, read or computed when first asked for and shared by the folds."""
    kept: list[NDArray[np.float32]] = []

    def features() -> NDArray[np.float32]:
        if not kept:
            kept.append(frozen_features(data, display))
        return kept[0]

    return features
