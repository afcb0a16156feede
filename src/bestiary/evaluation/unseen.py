"""Labeled images -> those that a run may be evaluated on: not seen by it, and of its classes.

Images that the run was trained on, and duplicates of them, are told from new ones. Classes that the
run lacks are mapped to one of its own where a person says so. Trains and scores nothing.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.eval_view import white_of
from bestiary.data.left_out import describe_left_out
from bestiary.data.listing import DEFAULT_OPTIONS
from bestiary.data.listing_types import DataPath
from bestiary.data.near_duplicates.recognition import (
    DUPLICATE_KINDS,
    Recognition,
    recognize_labeled,
)
from bestiary.display import Display
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.class_map import (
    Suggestion,
    check_class_map,
    map_option,
    suggest_classes,
)
from bestiary.evaluation.evaluation_text import LEFT_OUT
from bestiary.recipe.sections import DataOptions
from bestiary.run.images import UNKNOWN_REASON, UnknownRoot
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.storage.files import Root

Logits = NDArray[np.float32]  # (members, images, classes)

NO_MAP: Mapping[str, str] = {}
TABLE_REASONS = (*DUPLICATE_KINDS, "unknown_class")  # columns of flags


@dataclass(frozen=True, slots=True)
class Unseen:
    """Labeled images that a run may be evaluated on.

    Attributes:
        root: folder that the paths start from.
        table: columns of a manifest, at least one image. No image is the run's or a near duplicate
            of one, and all have a class of the run.
        seen: the other images of a class of the run: its own, and near duplicates of them.
        foreign: the images of classes that the run does not have.
        recognition: the images that were recognized.
        left_out: reason -> number of images that were left out.
        unknown_classes: class that the run does not have -> number of images left out for it.
        suggestions: such a class -> the class of the run that it may be.
        quarantine: path and reason of the files that could not be read.
    """

    root: Root
    table: pl.DataFrame
    seen: pl.DataFrame
    foreign: pl.DataFrame
    recognition: Recognition
    left_out: dict[str, int]
    unknown_classes: dict[str, int]
    suggestions: dict[str, Suggestion]
    quarantine: pl.DataFrame


def unseen_images(
    run: Run,
    classes: list[str],
    images: DataPath,
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
    mapping: Mapping[str, str] = NO_MAP,
) -> Unseen:
    """Read the labeled images that are new to a run.

    Args:
        run: the run.
        classes: names of its classes.
        images: folder of class folders, or a table.
        display: shows progress.
        options: how the images are listed.
        mapping: class of the images -> class of the run that it is.

    Returns:
        The new images, and how many others were left out.

    Raises:
        DataError: there is no labeled image, or none that is new to the run and of its classes.
        ArgumentError: the mapping names a class that is not there.
    """
    root = run.read_root()
    training = run.read_table(MANIFEST)
    read, recognition = recognize_labeled(images, training, root, display, options)
    run_white = white_of(run.read_recipe().view)
    for line in describe_left_out(read, run_white=run_white):
        display.notice(line)
    if recognition.n_missing and isinstance(root, UnknownRoot):
        display.notice(
            f"Near duplicates of {recognition.n_missing:,} training images are not looked for: "
            f"{UNKNOWN_REASON}"
        )

    check_class_map(mapping, set(recognition.table["label"]), classes)
    mapped = recognition.table.with_columns(pl.col("label").replace(mapping))
    table = _flag_reasons(mapped, classes)
    foreign = table.filter("unknown_class")
    suggestions = suggest_classes(foreign, training, classes)
    new = table.filter(~pl.any_horizontal(*TABLE_REASONS))
    left_out = {reason: int(table[reason].sum()) for reason in TABLE_REASONS}
    left_out["unreadable"] = read.quarantine.height
    if new.is_empty():
        raise DataError(
            f"{images}: no image is left to score ({_causes(left_out, suggestions)}); for trained "
            f"images see bestiary show"
        )
    is_seen = pl.any_horizontal(*DUPLICATE_KINDS) & ~pl.col("unknown_class")
    return Unseen(
        root=read.root,
        table=new,
        seen=table.filter(is_seen),
        foreign=foreign,
        recognition=recognition,
        left_out=left_out,
        unknown_classes=_count_labels(foreign),
        suggestions=suggestions,
        quarantine=read.quarantine,
    )


def _count_labels(table: pl.DataFrame) -> dict[str, int]:
    """Count the images of each class, the largest first."""
    counts = table["label"].value_counts(sort=True)
    return dict(counts.sort("count", "label", descending=[True, False]).iter_rows())


def _flag_reasons(table: pl.DataFrame, classes: list[str]) -> pl.DataFrame:
    """Add a column for each of `TABLE_REASONS`: whether the image is left out for it."""
    flags = []
    for kind in DUPLICATE_KINDS:
        is_kind = (pl.col("kind") == kind).fill_null(False)
        flags.append(is_kind.alias(kind))
    has_known_class = pl.col("label").is_in(classes)
    flags.append((~has_known_class).alias("unknown_class"))
    return table.with_columns(flags)


def _causes(left_out: dict[str, int], suggestions: Mapping[str, Suggestion]) -> str:
    """List how many images were left out for which reason, and how to keep those of a class."""
    causes = []
    for reason, words in LEFT_OUT.items():
        if left_out[reason]:
            _, cause = words.split(": ")
            causes.append(f"{left_out[reason]}: {cause}")
    for name, suggestion in list(suggestions.items())[:1]:
        option = map_option(name, suggestion.name)
        causes.append(f"is {name!r} its {suggestion.name!r}? Then {option}")
    return "; ".join(causes)


def member_logits(
    ensemble: Ensemble,
    root: Root,
    table: pl.DataFrame,
    display: Display,
) -> tuple[Logits, dict[int, str]]:
    """Compute the members' logits of the readable images.

    Args:
        ensemble: the ensemble.
        root: folder that the paths start from.
        table: has the column path.
        display: shows progress.

    Returns:
        Logits (members, readable images, classes), and row -> reason of each image that cannot be
        read.

    Raises:
        DataError: no image is readable.
    """
    logits = []
    reasons: dict[int, str] = {}
    files = [root / path for path in table["path"]]
    with display.counter("Predicting") as tick:
        for batch in ensemble.iter_logits(files, tick):
            reasons |= batch.reasons
            logits.append(batch.readable)
    if len(reasons) == table.height:
        raise DataError(f"{root}: none of the images can be decoded")
    return np.concatenate(logits, axis=1), dict(sorted(reasons.items()))
