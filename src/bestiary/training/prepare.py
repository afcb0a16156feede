"""TODO training.prepare"""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data import folds as dealing
from bestiary.data.audit import audit_images
from bestiary.data.fixes import ACTIONS, apply_fixes, read_fixes
from bestiary.data.folds import leak_groups
from bestiary.data.listing import Listing, group_by_path, list_labeled, list_test
from bestiary.data.manifest import Manifest
from bestiary.display import Display
from bestiary.errors import DataError, RunError
from bestiary.recipe.options import Recipe
from bestiary.run.layout import FIXES, FOLDS, MANIFEST, NEAR_DUPLICATES, QUARANTINE, WARNINGS
from bestiary.run.run import Run


def begin_run(
    data: str | Path,
    run: Run,
    recipe: Recipe,
    fold_file: Path | None,
    display: Display,
    fixes: Path | None = None,
    beside: Callable[[], object] | None = None,
) -> None:
    """Read the images, deal the folds and write both with the recipe and the labels that `fixes`
    decides.

    `beside` is called when the images are listed, before they are read, which may take long.

    Raises:
        DataError: the data cannot be used as it is.
        BestiaryError: the run's folder cannot be written.
    """
    listing, decided = _listed(data, recipe, fixes, display)
    if beside is not None:
        beside()
    audit = audit_images(listing, list_test(data, recipe.data.root), display)
    manifest = audit.manifest
    for reason, count in manifest.ignored.items():
        display.line(f"Ignored: {count:,} {reason}")
    for line in audit.lines():
        display.notice(line)
    groups = leak_groups(manifest.table)
    if fold_file is not None:
        folds = dealing.read_fold_file(fold_file, manifest.table["path"])
        recipe = recipe.with_values({"folds.n": int(folds.max()) + 1})
        straddling = dealing.count_straddling(groups, folds)
        if straddling:
            display.notice(
                f"{fold_file}: {straddling:,} groups straddle its folds, so that the score will "
                f"flatter"
            )
    else:
        manifest, groups = _settle_rare_classes(manifest, groups, recipe, display)
        labels = manifest.table["label"]
        folds = dealing.deal(
            manifest.table["path"], labels, groups, recipe.folds.n, recipe.folds.seed
        )
    check_scorable(manifest, folds)
    with run.lock():
        if run.exists:
            raise RunError(
                f"{run.path}: another process has begun it meanwhile; go on with it by --resume"
            )
        run.write_table(QUARANTINE, manifest.quarantine)
        run.write_table(FIXES, decided)
        run.write_table(WARNINGS, audit.warnings)
        run.write_table(NEAR_DUPLICATES, audit.copies)
        run.write_table(MANIFEST, manifest.table, {"root": str(manifest.root)})
        run.write_table(FOLDS, manifest.table.select("path").with_columns(pl.Series("fold", folds)))
        run.write_recipe(recipe)  # last: a folder with a recipe is a run that can be resumed
    display.line(
        f"{len(folds):,} images of {len(manifest.classes)} classes in {len(np.unique(folds))} folds"
    )


def _listed(
    data: str | Path, recipe: Recipe, fixes: Path | None, display: Display
) -> tuple[Listing, pl.DataFrame]:
    """The labeled images, with the labels and groups that are asked for, and what `fixes`
    decides.
    """
    listing = list_labeled(data, recipe.data.root)
    decided = read_fixes(fixes)
    listing = apply_fixes(listing, decided)
    if decided.height:
        counts = dict(decided["action"].value_counts().iter_rows())
        display.line(
            f"Fixes: {', '.join(f'{counts.get(action, 0):,} {action}' for action in ACTIONS)}"
        )
    if recipe.data.group_pattern:
        listing = group_by_path(listing, recipe.data.group_pattern)
    return listing, decided


def check_scorable(manifest: Manifest, folds: NDArray[np.int64]) -> None:
    """Refuse a fold whose every image has copies with another label: nothing would be left to
    score it by.
    """
    empty = set(folds.tolist()) - set(folds[~manifest.table["label_conflict"].to_numpy()].tolist())
    if empty:
        raise DataError(
            f"fold {min(empty)}: every image has a copy with another label, so none can be scored; "
            "see bestiary scan, and settle the labels"
        )


def _settle_rare_classes(
    manifest: Manifest, groups: NDArray[np.int64], recipe: Recipe, display: Display
) -> tuple[Manifest, NDArray[np.int64]]:
    rare = dealing.check_class_sizes(manifest.table["label"], groups, recipe.folds.n)
    if not rare or recipe.folds.rare_classes == "keep":
        return manifest, groups
    named = ", ".join(f"{label!r} ({count})" for label, count in rare[:3]) + (
        " ..." if len(rare) > 3 else ""
    )
    if recipe.folds.rare_classes == "error":
        least = rare[0][1]
        fewer = f"fewer folds (--folds {least}), " if least >= 2 else ""
        raise DataError(
            f"{len(rare)} of {len(manifest.classes)} classes have fewer separate images than "
            f"{recipe.folds.n} folds: "
            f"{named}; add images, or choose {fewer}to leave these classes out (--set "
            f"folds.rare_classes=drop) or to deal "
            "what there is (--set folds.rare_classes=keep)"
        )
    display.notice(f"Left out: {len(rare)} classes with fewer images than folds: {named}")
    kept = manifest.without([label for label, _ in rare], "class has fewer images than folds")
    if len(kept.classes) < 2:
        raise DataError(
            f"fewer than two classes have {recipe.folds.n} images; add images or choose fewer folds"
        )
    return kept, leak_groups(kept.table)
