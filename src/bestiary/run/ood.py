"""Read and write ood.safetensors, the out-of-distribution detector of a run."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bestiary.atomic import atomic_path
from bestiary.errors import RunError
from bestiary.stats.ood import OodDetector

ARRAY_NAMES = ("scales", "whitening", "means", "limits")


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
        arrays = load_file(file)
        detector = OodDetector(*(arrays[name] for name in ARRAY_NAMES))
        shapes = [
            detector.scales.shape,
            detector.whitening.shape,
            detector.means[:1].shape,
            detector.limits.shape,
        ]
        if shapes != [(members,), (classes, classes), (1, classes), (2,)]:
            raise ValueError(f"it is not of {members} members and {classes} classes")
        return detector
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"{file}: cannot be read ({error}); train the run again, or go on with it by --resume"
        ) from None


def write_ood(file: Path, detector: OodDetector) -> None:
    """Write the detector's arrays atomically."""
    arrays = {}
    for name in ARRAY_NAMES:
        arrays[name] = np.ascontiguousarray(getattr(detector, name))
    with atomic_path(file) as temporary:
        save_file(arrays, temporary)
