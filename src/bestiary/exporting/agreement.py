"""What a file gives and what the network gives for the same views -> how far they agree, in numbers for its card.

A member is never scored on a picture that it was trained on: where accuracy is compared, each picture is judged by the
one member that held it out. Pure functions of arrays. Knows nothing of formats.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.folds import leak_groups
from bestiary.exporting.graph import Outputs
from bestiary.stats.paired import Difference, paired_difference

TOLERANCE = 1e-4  # of probabilities in float32


def compare_outputs(reference: Outputs, found: Outputs) -> dict[str, Any]:
    """How far `found` is from `reference`: pictures, those with the same label, the largest differences."""
    same = reference.probabilities.argmax(axis=1) == found.probabilities.argmax(axis=1)
    return {
        "pictures": len(same),
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
    """What `found` gets right less than `reference`, each picture judged by the member that held it out.

    Args:
        reference: of the float32 file, for the pictures of `table`.
        found: of the int8 file.
        table: with the columns label, fold and those of `GROUP_KEYS`; every fold is one of `folds`.
        folds: of the members, in the order of the logits.
        classes: in the order of the logits.
    """
    number = {name: index for index, name in enumerate(classes)}
    labels = np.array([number[label] for label in table["label"]], np.int64)
    place = {fold: index for index, fold in enumerate(folds)}
    member = np.array([place[fold] for fold in table["fold"]], np.int64)
    before, after = (_own(outputs, member) == labels for outputs in (reference, found))
    difference: Difference = paired_difference(before, after, leak_groups(table))
    return {
        "judged_by": "for each picture the one member that was not trained on it",
        "pictures": len(labels),
        "accuracy_float32": float(before.mean()),
        "accuracy_int8": float(after.mean()),
        "difference": asdict(difference),
        "ensemble": compare_outputs(reference, found)
        | {
            "note": "all members together, who between them were trained on every one of these pictures"
        },
    }


def _own(outputs: Outputs, member: NDArray[np.int64]) -> NDArray[np.int64]:
    """The label (pictures,) by member `member` (pictures,) alone."""
    return np.asarray(outputs.logits[np.arange(len(member)), member].argmax(axis=1))
