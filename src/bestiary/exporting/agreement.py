"""Outputs of an exported file and of the network -> how far they agree, as numbers for the card.

No member is scored on an image that it was trained on. Where accuracies are compared, each image is
judged by the one member that held it out. Pure functions of arrays. Knows nothing of formats.
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
from bestiary.recipe.choices import LowPrecision
from bestiary.stats.paired import paired_difference

TOLERANCE = 1e-4  # largest difference between probabilities in float32

ENSEMBLE_NOTE = "all members together, who between them were trained on every one of these images"


def compare_outputs(reference: Outputs, exported: Outputs) -> dict[str, Any]:
    """Compare two outputs for the same images.

    Args:
        reference: outputs of the network.
        exported: outputs of the exported file.

    Returns:
        The number of images, the number with equal labels, and the largest differences of
        probabilities and of energies.
    """
    is_same_label = reference.probabilities.argmax(axis=1) == exported.probabilities.argmax(axis=1)
    probability_gap = np.abs(reference.probabilities - exported.probabilities)
    energy_gap = np.abs(reference.energy - exported.energy)
    return {
        "images": len(is_same_label),
        "labels_equal": int(is_same_label.sum()),
        "probability_difference": float(probability_gap.max()),
        "energy_difference": float(energy_gap.max()),
    }


def accuracy_drop(
    float32: Outputs,
    lower: Outputs,
    table: pl.DataFrame,
    folds: Sequence[int],
    classes: Sequence[str],
    precision: LowPrecision = "int8",
) -> dict[str, Any]:
    """Measure the accuracy that int8 costs, each image judged by the member that held it out.

    Args:
        float32: outputs of the float32 file for the images of `table`.
        lower: outputs of the file in int8 or float16 for the same images.
        table: columns label, fold and those of `GROUP_KEYS`. Every fold is one of `folds`.
        folds: folds of the members, in the order of the logits.
        classes: class names, in the order of the logits.
        precision: of `lower`.

    Returns:
        Both accuracies, their paired difference with its interval, and how far the ensembles
        agree, as the card holds them.
    """
    labels = class_numbers(table["label"], classes)
    member_of_fold = {fold: member for member, fold in enumerate(folds)}
    members = np.array([member_of_fold[fold] for fold in table["fold"]], np.int64)
    float32_hits = _member_labels(float32, members) == labels
    lower_hits = _member_labels(lower, members) == labels
    difference = paired_difference(float32_hits, lower_hits, leak_groups(table))
    return {
        "judged_by": "for each image the one member that was not trained on it",
        "images": len(labels),
        "accuracy_float32": float(float32_hits.mean()),
        f"accuracy_{precision}": float(lower_hits.mean()),
        "difference": asdict(difference),
        "ensemble": compare_outputs(float32, lower) | {"note": ENSEMBLE_NOTE},
    }


def _member_labels(outputs: Outputs, members: NDArray[np.int64]) -> NDArray[np.int64]:
    """Label of each image (images,) by one member alone, `members` (images,)."""
    rows = np.arange(len(members))
    return np.asarray(outputs.logits[rows, members].argmax(axis=1))
