"""Claim: `curve` forecasts the accuracy of all images from half of them, in 90 % of 40 draws.

    python benchmarks/honesty/curve.py RUN ...

Each run needs its features in the cache, as `bestiary probe` leaves them there. A draw takes half
of the groups of each class. The forecast for twice as many images is compared with the accuracy
that the curve of all images has at its end, and the forecast of each class with the recall there.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from bestiary.evaluation.learning_curve import curve_of
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.training.frozen_features import cached_features

sys.path.insert(0, str(Path(__file__).parents[1]))

from harness.record import record, recording

CLAIMS = {
    "curve-forecast": {
        "statement": "The forecast from half of the images holds the accuracy of all",
        "unit": "of the draws covered",
        "bar": ("least", 0.9, "an interval of 95 %, with noise of 40 draws"),
        "watches": (
            "src/bestiary/stats/learning_curve.py",
            "src/bestiary/evaluation/learning_curve.py",
        ),
    },
    "curve-classes": {
        "statement": "The forecast of a class from half of the images holds its recall",
        "unit": "of the forecasts covered",
        "watches": (
            "src/bestiary/stats/learning_curve.py",
            "src/bestiary/evaluation/learning_curve.py",
        ),
    },
}


DRAWS = 40


def half_of(labels: NDArray[np.int64], groups: NDArray[np.int64], draw: int) -> NDArray[np.int64]:
    """Rows of half of the groups of each class."""
    rng = keyed_rng(draw, "half of the images")
    chosen: list[int] = []
    for label in np.unique(labels):
        own = np.unique(groups[labels == label])
        chosen += rng.permutation(own)[: len(own) // 2].tolist()
    return np.flatnonzero(np.isin(groups, chosen))


def main() -> None:
    for place in sys.argv[1:]:
        snapshot = Run.open(place).load()
        images = read_out_of_fold(snapshot).without_conflicts()
        features = cached_features(snapshot.recipe, images.table["sha256"].to_list())
        assert features is not None, "probe the images here first"
        labels, groups, folds = images.labels, images.groups, images.folds
        classes = len(images.classes)
        everything = curve_of(features, labels, groups, folds, classes)
        truth = everything.accuracies[-1].value
        held = held_gain = class_held = 0
        forecasts, widths = [], []
        for draw in range(DRAWS):
            rows = half_of(labels, groups, draw)
            curve = curve_of(features[rows], labels[rows], groups[rows], folds[rows], classes)
            forecast = curve.forecast()
            gain = curve.gain()
            now = curve.accuracies[-1].value
            held += forecast.low <= truth <= forecast.high
            held_gain += now + gain.low <= truth <= now + gain.high
            forecasts.append(forecast.value)
            widths.append(forecast.high - forecast.low)
            for number in range(classes):
                expected = curve.class_forecast(number)
                recall = everything.class_recall(number).value
                class_held += expected.low <= recall <= expected.high
        case = Path(place).name
        details = {
            "accuracy": {"of all": truth, "forecast": np.mean(forecasts)},
            "width of the interval": np.mean(widths),
            "of the draws covered by the gain's own interval": held_gain / DRAWS,
        }
        record("curve-forecast", held / DRAWS, DRAWS, "draws", case=case, details=details)
        n = DRAWS * classes
        record("curve-classes", class_held / n, n, "forecasts of a class", case=case)
        print(
            f"{place}: {len(labels):,} images, {classes} classes; accuracy of all {truth:.4f}; "
            f"forecast from half {np.mean(forecasts):.4f} (sd {np.std(forecasts):.4f}, interval "
            f"{np.mean(widths):.4f} wide); held {held} of {DRAWS}; by the gain's interval alone "
            f"{held_gain}; recall of a class {class_held} of {DRAWS * classes}",
            flush=True,
        )


if __name__ == "__main__":
    recording(main, __file__)
