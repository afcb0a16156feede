"""ood.safetensors <-> the out-of-distribution detector of a run."""

from pathlib import Path

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from bestiary.atomic import atomic_path
from bestiary.errors import RunError
from bestiary.stats.ood import OodDetector


def read_ood(file: Path, members: int, classes: int) -> OodDetector:
    """Read what `write_ood` wrote, for so many members and classes.

    Raises:
        RunError: the file is missing, damaged or of another ensemble.
    """
    try:
        arrays = load_file(file)
        known = OodDetector(*(arrays[name] for name in ("scales", "whitening", "means", "limits")))
        shapes = [
            array.shape for array in (known.scales, known.whitening, known.means[:1], known.limits)
        ]
        if shapes != [(members,), (classes, classes), (1, classes), (2,)]:
            raise ValueError(f"of {members} members and {classes} classes it is not")
        return known
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise RunError(
            f"{file}: cannot be read ({error}); train the run again, or go on with it by --resume"
        ) from None


def write_ood(file: Path, detector: OodDetector) -> None:
    """Write the detector's arrays as safetensors, whole or not at all."""
    arrays = {
        "scales": detector.scales,
        "whitening": detector.whitening,
        "means": detector.means,
        "limits": detector.limits,
    }
    with atomic_path(file) as temporary:
        save_file({name: np.ascontiguousarray(array) for name, array in arrays.items()}, temporary)
