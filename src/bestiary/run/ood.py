"""Read and write ood.safetensors, the out-of-distribution detector of a run."""

from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bestiary.atomic import atomic_path
from bestiary.errors import RunError
from bestiary.model.tensor_card import check_tensor_file
from bestiary.stats.ood import OodDetector

MAX_BYTES = 1 << 24  # of the file, and some for each pair of classes
BYTES_PER_VALUE = 32
ARRAY_NAMES = ("scales", "whitening", "means", "limits")
DECISION = "decision"  # weights of energy and distance, and their limit; absent: energy decides


def read_ood(file: Path, members: int, classes: int) -> OodDetector:
    """Read the detector of an ensemble.

    Args:
        file: what `write_ood` has written.
        members: number of members that the ensemble has.
        classes: number of its classes.

    Raises:
        RunError: the file is missing, damaged or of another ensemble.
    """
    try:
        check_tensor_file(file, MAX_BYTES + BYTES_PER_VALUE * classes**2)
        arrays = load_file(file)
        scales, whitening, means, limits = (arrays[name] for name in ARRAY_NAMES)
        detector = OodDetector(scales, whitening, means, limits)
        if DECISION in arrays:
            detector = _with_decision(detector, arrays[DECISION])
        shapes = [
            detector.scales.shape,
            detector.whitening.shape,
            detector.means[:1].shape,
            detector.limits.shape,
        ]
        if shapes != [(members,), (classes, classes), (1, classes), (2,)]:
            raise ValueError(f"it is not of {members} members and {classes} classes")
        _check_values(detector)
        return detector
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"{file}: cannot be read ({error}); train the run again, or go on with it by --resume"
        ) from None


def _check_values(detector: OodDetector) -> None:
    arrays = (detector.scales, detector.whitening, detector.means)
    is_finite = all(np.isfinite(array).all() for array in arrays)
    # Both limits are infinite where there are too few images to say.
    if not is_finite or np.isnan(detector.limits).any() or not (detector.scales > 0).all():
        raise ValueError("it holds numbers that are none, or scales that are not above 0")


def _with_decision(detector: OodDetector, decision: NDArray[np.float64]) -> OodDetector:
    """Add the weights and the limit of the score that decides, checked."""
    if decision.shape != (3,) or decision.dtype != np.float64:
        raise ValueError("its decision is not two weights and a limit")
    weights, limit = decision[:2], float(decision[2])
    are_weights = np.isfinite(weights).all() and (weights >= 0).all() and weights.any()
    if not are_weights or np.isnan(limit):
        raise ValueError("its decision holds numbers that are no weights or no limit")
    return replace(detector, weights=weights, limit=limit)


def write_ood(file: Path, detector: OodDetector) -> None:
    """Write the detector's arrays atomically."""
    with atomic_path(file) as temporary:
        save_file(ood_arrays(detector), temporary)


def ood_arrays(detector: OodDetector) -> dict[str, NDArray[np.float64]]:
    """List the arrays that a detector consists of, by name."""
    arrays = {}
    for name in ARRAY_NAMES:
        arrays[name] = np.ascontiguousarray(getattr(detector, name))
    if detector.score != "energy":  # an older version reads what energy decides
        arrays[DECISION] = np.array([*detector.weights, detector.deciding_limit])
    return arrays
