"""Out-of-fold hits -> the expected accuracy of the whole ensemble on new images.

All members but one were trained on each image of a run. So a run has no unbiased prediction of the
ensemble, and cross-fitting one would take more trained networks. Without more images the estimate
rests on two facts:

- the out-of-fold accuracy is that of a single member on new images, with its own uncertainty;
- the ensemble makes the member's errors times a ratio known from other ensembles (`ERROR_RATIO`).

Both uncertainties are added. `bestiary evaluate` measures the accuracy on held-out images instead.
Knows nothing of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.intervals import effective_size, wilson_interval

# Errors of five averaged members over errors of one member: mean and standard deviation of six
# cases. ResNeXt-101 in the described report: 0.90 and 0.96 (two test halves, no mixing), 0.82 and
# 0.69 (with MixUp and CutMix). Measured: 0.90 (last stages fine-tuned) and 0.96 (heads
# alone).
ERROR_RATIO = 0.87
ERROR_RATIO_SPREAD = 0.10
RATIO_MEMBERS = 5
METHOD_TEXT = (
    "out-of-fold errors of single members times {ratio:.2f}, give or take {spread:.2f}: what "
    "ensembles of {members} "
    "folds have gained elsewhere; both uncertainties are in the interval, and bestiary evaluate "
    "measures it"
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The expected accuracy of the ensemble on new images.

    Attributes:
        value: 0 to 1.
        low: lower end of the 95 % interval.
        high: upper end.
        effective: number of independent images that would leave a measured accuracy as uncertain.
        method: how the estimate is made, in words.
    """

    value: float
    low: float
    high: float
    effective: float
    method: str

    def accuracy_interval(self, images: float) -> tuple[float, float]:
        """Predict the range of an accuracy that is measured on new images.

        Args:
            images: number of new, independent images; need not be whole.

        Returns:
            Lower and upper end of the range that contains 95 of 100 measurements.
        """
        effective = 1 / (1 / self.effective + 1 / images)
        return wilson_interval(self.value, effective)


def ensemble_estimate(
    hits: NDArray[np.bool_],
    groups: NDArray[np.int64],
    members: int,
) -> Estimate:
    """Estimate the accuracy of averaged members on new images.

    Args:
        hits: whether each image is right out of fold (images,), at least one image.
        groups: group number of each image (images,).
        members: number of members, 1 or more.

    Returns:
        The expected accuracy with its interval.
    """
    effective = effective_size(hits, groups)
    error = _smoothed_error(hits, effective)

    # Ratio of the ensemble's errors. The gain grows as 1 - 1/members does, like the variance of a
    # mean (Breiman 1996).
    gain = (1 - 1 / members) / (1 - 1 / RATIO_MEMBERS)
    ratio = 1 - (1 - ERROR_RATIO) * gain
    ratio_spread = ERROR_RATIO_SPREAD * gain

    # Variance of their product, and the number of independent images with the same variance
    error_part = ratio**2 * error * (1 - error) / effective
    ratio_part = error**2 * ratio_spread**2
    variance = error_part + ratio_part
    ensemble_effective = ratio * error * (1 - ratio * error) / variance

    error_rate = float((~hits).mean())
    value = 1 - ratio * error_rate
    low, high = wilson_interval(value, ensemble_effective)
    return Estimate(
        value=value,
        low=low,
        high=high,
        effective=ensemble_effective,
        method=METHOD_TEXT.format(ratio=ratio, spread=ratio_spread, members=members),
    )


def _smoothed_error(hits: NDArray[np.bool_], effective: float) -> float:
    """Compute the error rate of one member.

    Add-two smoothing (Agresti and Coull 1998) leaves an uncertainty where all images are right, or
    all wrong.
    """
    n_errors = (~hits).sum()
    return float(n_errors * effective / len(hits) + 2) / (effective + 4)


def pick_optimism(curves: Sequence[Sequence[float | None]]) -> float:
    """Estimate the optimism of picking each fold's best epoch by its own validation images.

    The best accuracy of a fold is compared with its accuracy at the epoch that the other folds
    pick, as in nested selection (Cawley and Talbot 2010, JMLR 11). If the best epochs of the folds
    truly differ, the result is too large. So it is an upper estimate.

    Args:
        curves: validation accuracy of each fold after each epoch, at least two folds; None where an
            epoch was not scored.

    Returns:
        The mean optimism of the folds, 0 to 1; 0 where fewer than two epochs were scored.
    """
    # Accuracies (folds, epochs) of the epochs that all folds scored; None becomes NaN
    n_epochs = min(len(curve) for curve in curves)
    accuracies = np.array([curve[:n_epochs] for curve in curves], np.float64)
    is_missing = np.isnan(accuracies).any(axis=0)
    accuracies = accuracies[:, ~is_missing]
    if accuracies.shape[1] < 2:
        return 0.0

    optimism = []
    for fold, curve in enumerate(accuracies):
        others = np.delete(accuracies, fold, axis=0)
        mean_curve = others.mean(axis=0)
        picked = int(mean_curve.argmax())
        optimism.append(curve.max() - curve[picked])
    return float(np.mean(optimism))
