"""What a file gives and what the network gives for the same views -> how far they agree, in numbers
for its card.

A member is never scored on an image that it was trained on: where accuracy is compared, each image
is judged by the one member that held it out. Pure functions of arrays. Knows nothing of formats.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import leak_groups
from bestiary.evaluation.out_of_fold import class_numbers
from bestiary.exporting.graph import Outputs
from bestiary.stats.paired import Difference, paired_difference

TOLERANCE = 1e-4  # of probabilities in float32


def compare_outputs(reference: Outputs, found: Outputs) -> dict[str, Any]:
    """How far `found` is from `reference`: images, those with the same label, the largest
    differences.
    """
    same = reference.probabilities.argmax(axis=1) == found.probabilities.argmax(axis=1)
    return {
        "images": len(same),
        "labels_equal": int(same.sum()),
        "probability_difference": float(
            np.abs(reference.probabilities - found.probabilities).max()
        ),
        "energy_difference": float(np.abs(reference.energy - found.energy).max()),
    }


def accuracy_lost(
    reference: Outputs,
    found: Outputs,
    table: pl.DataFrame,
    folds: Sequence[int],
    classes: Sequence[str],
) -> dict[str, Any]:
    """What `found` gets right less than `reference`, each image judged by the member that held it
    out.

    Args:
        reference: of the float32 file, for the images of `table`.
        found: of the int8 file.
        table: with the columns label, fold and those of `GROUP_KEYS`; every fold is one of `folds`.
        folds: of the members, in the order of the logits.
        classes: in the order of the logits.
    """
    labels = class_numbers(table["label"], classes)
    place = {fold: index for index, fold in enumerate(folds)}
    member = np.array([place[fold] for fold in table["fold"]], np.int64)
    before, after = (_own(outputs, member) == labels for outputs in (reference, found))
    difference: Difference = paired_difference(before, after, leak_groups(table))
    return {
        "judged_by": "for each image the one member that was not trained on it",
        "images": len(labels),
        "accuracy_float32": float(before.mean()),
        "accuracy_int8": float(after.mean()),
        "difference": asdict(difference),
        "ensemble": compare_outputs(reference, found)
        | {
            "note": "all members together, who between them were trained on every one of these "
            "images"
        },
    }


def _own(outputs: Outputs, member: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label (images,) by member `member` (images,) alone."""
    return np.asarray(outputs.logits[np.arange(len(member)), member].argmax(axis=1))
