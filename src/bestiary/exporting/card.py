"""An ensemble -> the card inside an exported file: classes, input, outputs, thresholds, versions.

The card holds all that a program without bestiary needs to use the file rightly.
"""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bestiary.data.eval_view import EvalView
from bestiary.ensemble.blending import backbone_names
from bestiary.ensemble.decisions import Decisions
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.graph import INPUT, input_view
from bestiary.run.run import Run
from bestiary.stats.ood import KNOWN_SHARE

# Version of the card. It is raised when a reader of an earlier one could misread it.
CARD_FORMAT = 2
PACKAGES = (
    "bestiary",
    "torch",
    "torchvision",
    "timm",
    "onnx",
    "onnxruntime",
    "onnxscript",
    "openvino",
    "nncf",
)


def build_card(run: Run, ensemble: Ensemble, folds: Sequence[int]) -> dict[str, Any]:
    """Build the card of some members; measurements of the file are added later.

    Args:
        run: the run.
        ensemble: ensemble of the run.
        folds: folds of the members in the file.

    Returns:
        The card, ready for JSON.
    """
    calibration = ensemble.calibration
    return {
        "format": CARD_FORMAT,
        "classes": ensemble.classes_.tolist(),
        "input": _describe_input(input_view(ensemble)),
        "outputs": {
            "probabilities": "(n, classes), each row sums to 1"
            + ("" if calibration else "; not calibrated"),
            "energy": "(n,), above thresholds.unknown the image is unlike those of the known "
            "classes",
            "logits": "(n, members, classes), of each member, as they come",
        },
        "members": list(folds),
        "average": ensemble.average,
        "tta": ensemble.tta,  # views of each image, averaged inside the graph
        "temperature": calibration.temperature if calibration else 1.0,
        "thresholds": _thresholds(ensemble),
        "decisions": _describe_decisions(ensemble.decisions),
        "backbone": backbone_names(ensemble),
        "out_of_fold": _read_accuracy(run),
        "precision": "float32",
        "versions": _installed_versions(),
    }


def _describe_input(view: EvalView) -> dict[str, Any]:
    """Describe the input and how an image becomes it. The graph preprocesses (normalizes) it."""
    description: dict[str, Any] = {
        "name": INPUT,
        "shape": ["batch", view.size, view.size, 3],
        "type": "uint8",
        "colors": "RGB, 0 to 255",
        "before": "upright as EXIF says; transparency over white; gray as RGB",
        # White in images of more than 8 bits that do not state it: integers, floats
        "white": [view.white_level, view.white_level_float],
        # squash: both sides to size; crop: the center square, `crop` times the short side
        "resize": view.resize,
    }
    if view.resize == "crop":
        description["crop"] = view.crop
    return description | {
        "size": view.size,
        "shrink": "bilinear, anti-aliased",
        "enlarge": view.interpolation,
    }


def _thresholds(ensemble: Ensemble) -> dict[str, Any] | None:
    """Thresholds for prediction sets, accepted answers and unknown images; None: not calibrated."""
    calibration = ensemble.calibration
    detector = ensemble.ood
    if not (calibration and detector):
        return None
    limit = detector.deciding_limit
    return {
        # A class is in the set where 1 - probability is at most this. The likeliest class always
        # is.
        "prediction_sets": _with_text_keys(calibration.prediction_sets),
        "class_prediction_sets": _with_text_keys(calibration.class_prediction_sets),
        # An answer is accepted where its probability is at least this and the image is not
        # unknown. Above 1: never.
        "accepted": _with_text_keys(calibration.accepted),
        # An image is unknown where the output energy is above this. Null: too few images to say.
        "unknown": limit if math.isfinite(limit) else None,
        "unknown_score": detector.score,  # what that output is: energy, distance or both
        "known_kept": KNOWN_SHARE,
    }


def _describe_decisions(decisions: Decisions | None) -> dict[str, Any] | None:
    """Describe a promise and costs, and how a program applies them; None: not asked for."""
    if decisions is None:
        return None
    content = decisions.to_json()
    if decisions.promises is not None:
        content["promised"]["rule"] = (
            "the likeliest class keeps the precision where its probability is at least its "
            "threshold and the image is not unknown; above 1: never"
        )
    if decisions.costs is not None:
        content["costs"] = {
            "matrix": content["costs"],
            "rule": "(true classes, answers): decide for the answer with the least of "
            "probabilities @ matrix",
        }
    return content


def _with_text_keys(levels: dict[float, Any]) -> dict[str, Any]:
    return {str(level): threshold for level, threshold in levels.items()}


def _read_accuracy(run: Run) -> Any:
    """Out-of-fold accuracy with its interval; None if the run is not finished."""
    return (run.read_scores() or {}).get("accuracy")


def _installed_versions() -> dict[str, str]:
    versions = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            continue
    return versions
