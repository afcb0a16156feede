"""An ensemble -> the card inside an exported file: all that a program without bestiary needs to
use it rightly.
"""

import math
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from bestiary.data.views import EvalView
from bestiary.ensemble.ensemble import Ensemble
from bestiary.exporting.graph import INPUT
from bestiary.run.layout import METRICS
from bestiary.run.run import Run
from bestiary.stats.ood import KEPT

FORMAT = 1  # of the card; raised when a reader of the former could misread it
NAMED = (
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


def describe(run: Run, ensemble: Ensemble, folds: Sequence[int]) -> dict[str, Any]:
    """The card of the members of `folds`; what was measured on the file comes on top of it."""
    return {
        "format": FORMAT,
        "classes": ensemble.classes_.tolist(),
        "input": _input(ensemble.input_view),
        "outputs": {
            "probabilities": "(n, classes), each row sums to 1"
            + ("" if ensemble.calibration else "; not calibrated"),
            "energy": "(n,), above thresholds.unknown the image is unlike those of the known "
            "classes",
            "logits": "(n, members, classes), of each member, as they come",
        },
        "members": list(folds),
        "average": ensemble.average,
        "tta": ensemble.tta,  # of each image, averaged inside the graph
        "temperature": ensemble.calibration.temperature if ensemble.calibration else 1.0,
        "thresholds": _thresholds(ensemble),
        "backbone": ensemble.members[0].name,
        "out_of_fold": run.read_json(METRICS)["oof"]["accuracy"]
        if run.file(METRICS).exists()
        else None,
        "precision": "float32",
        "versions": {
            "python": platform.python_version(),
            **{n: v for n in NAMED if (v := _version(n))},
        },
    }


def _input(view: EvalView) -> dict[str, Any]:
    """What the input is and how an image becomes it; normalization is inside the graph."""
    short = {"crop": view.crop} if view.resize == "crop" else {}
    return {
        "name": INPUT,
        "shape": ["batch", view.size, view.size, 3],
        "type": "uint8",
        "colors": "RGB, 0 to 255",
        "before": "upright as EXIF says; transparency over white; gray as RGB",
        # squash: both sides to size; crop: of the center square that is `crop` of the short side
        "resize": view.resize,
        **short,
        "size": view.size,
        "shrink": "bilinear, anti-aliased",
        "enlarge": view.interpolation,
    }


def _thresholds(ensemble: Ensemble) -> dict[str, Any] | None:
    """Limits for sets, sure answers and unknown images; None where the run is not calibrated."""
    if not (ensemble.calibration and ensemble.known):
        return None
    calibration, limit = ensemble.calibration, float(ensemble.known.limits[0])
    return {
        # a class is in the set where 1 - probability is at most this; the most probable class
        # always is
        "prediction_sets": {str(coverage): score for coverage, score in calibration.sets.items()},
        "class_prediction_sets": {
            str(coverage): scores for coverage, scores in calibration.class_prediction_sets.items()
        },
        # an answer is sure where its probability is at least this and the image is not unknown;
        # above 1: never
        "accepted": {str(risk): least for risk, least in calibration.accepted.items()},
        # unknown where the energy is above this; null: images were too few to say
        "unknown": limit if math.isfinite(limit) else None,
        "known_kept": KEPT,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
