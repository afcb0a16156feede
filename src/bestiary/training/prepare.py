"""Preparation of a new run: labeled images and a recipe -> manifest, folds and tables on disk.

Lists and audits the images, assigns the folds, and writes both with the recipe. Does not know
networks.
"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.audit import Audit, audit_images
from bestiary.data.bit_depth import WhiteLevel
from bestiary.data.fixes import ACTIONS, apply_fixes, read_fixes
from bestiary.data.folds import (
    assign_folds,
    count_straddling,
    find_rare_classes,
    fold_groups,
    read_fold_file,
)
from bestiary.data.listing import group_by_path, list_labeled
from bestiary.data.listing_types import Listing
from bestiary.data.manifest import Manifest
from bestiary.data.pair_decisions import read_decisions
from bestiary.data.taxonomy import find_taxonomy, read_taxonomy
from bestiary.display import Display
from bestiary.errors import ArgumentError, DataError, RunError
from bestiary.numbers import counted
from bestiary.printable import place_name
from bestiary.recipe.choices import FoldBy
from bestiary.recipe.options import Recipe
from bestiary.recipe.sections import FoldOptions
from bestiary.run.layout import (
    FIXES,
    FOLDS,
    MANIFEST,
    NEAR_DUPLICATES,
    NOT_DUPLICATES,
    QUARANTINE,
    WARNINGS,
)
from bestiary.run.own_runs import VARIABLE, state_root
from bestiary.run.run import Run
from bestiary.run.taxonomy import Taxonomy, write_taxonomy
from bestiary.run.unlabeled import write_unlabeled
from bestiary.training.malloc import return_freed_memory
from bestiary.training.unlabeled import unlabeled_features

Folds = NDArray[np.int64]  # fold of each image (images,)
RareClasses = list[tuple[str, int]]  # label and number of separate images
MAX_NAMED_CLASSES = 3


def begin_run(
    data: str | Path,
    run: Run,
    recipe: Recipe,
    fold_file: Path | None,
    display: Display,
    fixes: Path | None = None,
    not_duplicates: Path | None = None,
    before_reading: Callable[[], object] | None = None,
    unlabeled: Path | None = None,
) -> None:
    """Read the images, assign them to folds, and write the run's tables and recipe.

    Args:
        data: folder of class folders, or a table.
        run: in a new folder.
        recipe: of the run.
        fold_file: the user's own folds; None: folds are assigned by the recipe.
        display: shows the progress and the findings of the audit.
        fixes: table of decided labels; None: there is none.
        not_duplicates: table of decided pairs; None: there is none.
        before_reading: called once the images are listed, before they are read, which can take
            long.
        unlabeled: images without labels that heads learn from too; None: there are none.

    Raises:
        DataError: the data cannot be used.
        ArgumentError: there are unlabeled images and two folds only.
        RunError: another process has begun the run meanwhile.
        BestiaryError: the run's folder cannot be written.
    """
    pair_decisions = read_decisions(not_duplicates)
    listing, decisions = _list_images(data, recipe, fixes, display)
    if before_reading is not None:
        before_reading()
    audit = audit_images(listing, display, recipe.data, pair_decisions)
    if recipe.view.white_level or recipe.view.white_level_float:
        audit = audit.with_stated_white()
    for line in audit.lines():
        display.notice(line)

    # Assign the folds.
    manifest = audit.manifest
    recipe = resolve_white(recipe, manifest.white)
    if fold_file is not None:
        folds = _read_own_folds(fold_file, manifest, recipe.folds.by, display)
        n_folds = int(folds.max()) + 1
        recipe = recipe.with_values({"folds.n": n_folds})
    else:
        manifest, folds = _assign_folds(manifest, recipe, display)
    check_scorable(manifest, folds)
    if unlabeled is not None:
        _check_crossfits(unlabeled, folds)
        write_unlabeled(run, *unlabeled_features(unlabeled, recipe, manifest, display))

    # Write the run.
    taxonomy = _read_taxonomy(data, recipe, manifest, display)
    _write_run(run, recipe, manifest, folds, audit, decisions, taxonomy)
    if not run.remember_root(str(manifest.root)):
        display.notice(
            f"{state_root()}: cannot be written, so other commands will not know where the images "
            f"of this run are; give them --data {place_name(manifest.root)}, or move the folder "
            f"with {VARIABLE}"
        )
    n_images = len(folds)
    n_classes = len(manifest.classes)
    n_folds = len(np.unique(folds))
    display.line(
        f"{counted(n_images, 'image')} of {counted(n_classes, 'class', 'classes')} in "
        f"{counted(n_folds, 'fold')}"
    )
    # Else training would stand on top of what comparing the images has freed.
    return_freed_memory()


def resolve_white(recipe: Recipe, found: WhiteLevel) -> Recipe:
    """Fill in the value of white that a dataset has, where the recipe does not state it.

    Args:
        recipe: with `view.white_level` 0 where it does not.
        found: from the values of all images.
    """
    return recipe.with_values(
        {
            "view.white_level": recipe.view.white_level or found.integers,
            "view.white_level_float": recipe.view.white_level_float or found.floats,
        }
    )


def _list_images(
    data: str | Path,
    recipe: Recipe,
    fixes: Path | None,
    display: Display,
) -> tuple[Listing, pl.DataFrame]:
    """List the labeled images, with fixes and groups applied; return the fixes too."""
    listing = list_labeled(data, recipe.data)
    decisions = read_fixes(fixes)
    listing = apply_fixes(listing, decisions)
    if decisions.height:
        action_counts = decisions["action"].value_counts()
        counts = dict(action_counts.iter_rows())
        summary = ", ".join(f"{counts.get(action, 0):,} {action}" for action in ACTIONS)
        display.line(f"Fixes: {summary}")
    if recipe.data.group_pattern:
        listing = group_by_path(listing, recipe.data.group_pattern)
    return listing, decisions


def _read_taxonomy(
    data: str | Path, recipe: Recipe, manifest: Manifest, display: Display
) -> Taxonomy | None:
    """Read the taxonomy of a dataset, if it has one."""
    file = find_taxonomy(recipe.data.taxonomy, data)
    if file is None:
        return None
    taxonomy, notes = read_taxonomy(file, manifest.classes)
    for note in notes:
        display.notice(note)
    return taxonomy


def _read_own_folds(fold_file: Path, manifest: Manifest, by: FoldBy, display: Display) -> Folds:
    """Read the user's own folds, and warn about groups that straddle them."""
    groups = fold_groups(manifest.table, by)
    folds = read_fold_file(fold_file, manifest.table["path"])
    n_straddling = count_straddling(groups, folds)
    if n_straddling:
        display.notice(
            f"{fold_file}: {counted(n_straddling, 'group straddles', 'groups straddle')} its "
            "folds, so the score will be too high"
        )
    return folds


def _assign_folds(manifest: Manifest, recipe: Recipe, display: Display) -> tuple[Manifest, Folds]:
    """Assign folds by the recipe; classes with too few images may be left out of the manifest."""
    by = recipe.folds.by
    groups = fold_groups(manifest.table, by)
    rare_classes = find_rare_classes(manifest.table["label"], groups, recipe.folds.n)
    if rare_classes and recipe.folds.rare_classes == "error":
        raise _rare_classes_error(rare_classes, manifest, recipe.folds)
    if rare_classes and recipe.folds.rare_classes != "keep":
        manifest = _drop_rare_classes(rare_classes, manifest, recipe.folds.n, display)
        groups = fold_groups(manifest.table, by)
    if not groups.any():
        things = "one group of images that stay together" if by == "image" else "one site"
        raise DataError(
            f"all images are of {things}, so none can be held out; add others, or leave out the "
            "groups, data.group_pattern or folds.by that join them"
        )
    table = manifest.table
    folds = assign_folds(
        table["path"],
        table["label"],
        groups,
        recipe.folds.n,
        recipe.folds.seed,
    )
    return manifest, folds


def _rare_classes_error(
    rare_classes: RareClasses, manifest: Manifest, options: FoldOptions
) -> DataError:
    smallest = rare_classes[0][1]
    things = "separate images" if options.by == "image" else "sites"
    fewer_folds = f"fewer folds (--folds {smallest}), " if smallest >= 2 else ""
    return DataError(
        f"{len(rare_classes)} of {counted(len(manifest.classes), 'class', 'classes')} have fewer "
        f"{things} than {options.n} folds: {_name_classes(rare_classes)}; add images, or choose "
        f"{fewer_folds}to leave these classes out (--set folds.rare_classes=drop) or to use the "
        "images that there are (--set folds.rare_classes=keep)"
    )


def _drop_rare_classes(
    rare_classes: RareClasses,
    manifest: Manifest,
    n_folds: int,
    display: Display,
) -> Manifest:
    """Leave rare classes out of the manifest."""
    display.notice(
        f"Left out: {counted(len(rare_classes), 'class', 'classes')} with fewer images than folds: "
        f"{_name_classes(rare_classes)}"
    )
    labels = [label for label, _ in rare_classes]
    manifest = manifest.without(labels, "class has fewer images than folds")
    if len(manifest.classes) < 2:
        raise DataError(
            f"fewer than two classes have {n_folds} images; add images or choose fewer folds"
        )
    return manifest


def _name_classes(rare_classes: RareClasses) -> str:
    """Name the first of some classes with their number of images."""
    named = rare_classes[:MAX_NAMED_CLASSES]
    text = ", ".join(f"{label!r} ({count})" for label, count in named)
    if len(rare_classes) > len(named):
        text += " ..."
    return text


def check_scorable(manifest: Manifest, folds: Folds) -> None:
    """Check that every fold has an image that can be scored.

    Images with near duplicates of another label are not scored.

    Args:
        manifest: of the run.
        folds: fold of each image (images,).

    Raises:
        DataError: a fold has only such images.
    """
    has_conflict = manifest.table["label_conflict"].to_numpy()
    scorable_folds = set(folds[~has_conflict].tolist())
    unscorable = set(folds.tolist()) - scorable_folds
    if unscorable:
        raise DataError(
            f"fold {min(unscorable)}: every image has a near duplicate with another label, so none "
            "can be scored; see bestiary scan, and settle the labels"
        )


def _check_crossfits(unlabeled: Path, folds: Folds) -> None:
    """Check that a fold's training part has two folds, one to judge what the other learned."""
    if len(np.unique(folds)) < 3:
        raise ArgumentError(
            f"--unlabeled {unlabeled}: heads learn from it where other folds show that it helps, "
            "and with two folds there is no other; add --folds 3, or leave it out"
        )


def _write_run(
    run: Run,
    recipe: Recipe,
    manifest: Manifest,
    folds: Folds,
    audit: Audit,
    decisions: pl.DataFrame,
    taxonomy: Taxonomy | None,
) -> None:
    """Write the tables of a new run, and its recipe last: with it, a folder can be resumed."""
    fold_column = pl.Series("fold", folds)
    fold_table = manifest.table.select("path").with_columns(fold_column)
    with run.lock():
        if run.exists:
            raise RunError(
                f"{run.path}: another process has begun it meanwhile; resume it with --resume"
            )
        run.write_table(QUARANTINE, manifest.quarantine)
        run.write_table(FIXES, decisions)
        run.write_table(WARNINGS, audit.warnings)
        run.write_table(NEAR_DUPLICATES, audit.near_duplicates)
        run.write_table(NOT_DUPLICATES, audit.decisions)
        if taxonomy is not None:
            write_taxonomy(run, taxonomy)
        run.write_table(MANIFEST, manifest.table, {"root": str(manifest.root)})
        run.write_table(FOLDS, fold_table)
        run.write_recipe(recipe)
