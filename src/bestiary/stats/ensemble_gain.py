"""Out-of-fold hits -> what the whole ensemble can be expected to get right on new images, and how
that was found.

No image of a run is new to two of its members, so the run itself holds no clean prediction of the
ensemble, and no cross-fitting makes one without training more networks. What can be said without
more images:

- the out-of-fold accuracy is that of a single member on new images, with its own uncertainty;
- the ensemble makes the member's errors times a ratio that is known from other fold ensembles
  (`RATIO`).

Both uncertainties are added. Images held out from all folds (`bestiary evaluate`) measure it
instead. Knows nothing of networks.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bestiary.stats.intervals import effective_size, wilson

# Errors of five averaged members over errors of one, mean and standard deviation of six cases: 0.90
# and 0.96 (two test halves, no mixing), 0.82 and 0.69 (with MixUp and CutMix) in the described
# report, ResNeXt-101; 0.90 of `fast` and 0.96 of heads alone (RESULTS.md). More members gain as 1 -
# 1/members does: the variance of a mean (Breiman 1996).
RATIO = 0.87, 0.10
METHOD = (
    "out-of-fold errors of single members times {ratio:.2f}, give or take {spread:.2f}: what "
    "ensembles of {members} "
    "folds have gained elsewhere; both uncertainties are in the interval, and bestiary evaluate "
    "measures it"
)


@dataclass(frozen=True, slots=True)
class Estimate:
    """The ensemble's accuracy on new images, without having seen any.

    Attributes:
        value: 0 to 1.
        low: lower end of the 95 % interval.
        high: upper end.
        effective: number of independent images that would leave a measured accuracy as uncertain.
        method: how it was found, in words.
    """

    value: float
    low: float
    high: float
    effective: float
    method: str

    def on(self, images: float) -> tuple[float, float]:
        """Between which the accuracy measured on so many new, independent images lies in 95 of
        100 cases.
        """
        return wilson(self.value, 1 / (1 / self.effective + 1 / images))


def ensemble_estimate(hits: NDArray[np.bool_], groups: NDArray[np.int64], members: int) -> Estimate:
    """Estimate the accuracy of `members` averaged members.

    Args:
        hits: out of fold (images,), one at least.
        groups: group number of each image (images,).
        members: 1 or more.
    """
    effective = effective_size(hits, groups)
    # Add-two smoothing (Agresti and Coull 1998) keeps an uncertainty where there is no error, or
    # nothing but errors.
    error = float((~hits).sum() * effective / len(hits) + 2) / (effective + 4)
    share = (1 - 1 / members) / (1 - 1 / 5)
    middle, spread = 1 - (1 - RATIO[0]) * share, RATIO[1] * share
    variance = middle**2 * error * (1 - error) / effective + error**2 * spread**2
    value = 1 - middle * float((~hits).mean())
    independent = middle * error * (1 - middle * error) / variance
    return Estimate(
        value,
        *wilson(value, independent),
        independent,
        METHOD.format(ratio=middle, spread=spread, members=members),
    )


def pick_optimism(curves: Sequence[Sequence[float | None]]) -> float:
    """By how much picking each fold's best epoch on its own held-out part flatters the score, 0 to
    1.

    Each fold's best accuracy is set against its accuracy at the epoch that the other folds would
    have picked for it (as in nested selection: Cawley and Talbot 2010, JMLR 11). Where folds truly
    differ in their best epoch this is too much, so it is an upper estimate.

    Args:
        curves: validation accuracy of each fold after each epoch; None where it was not measured.
            At least two folds.
    """
    shared = min(len(curve) for curve in curves)
    table = np.array(
        [[np.nan if v is None else v for v in curve[:shared]] for curve in curves], np.float64
    )
    table = table[:, ~np.isnan(table).any(axis=0)]
    if table.shape[1] < 2:
        return 0.0
    gains = []
    for fold, curve in enumerate(table):
        picked = int(np.delete(table, fold, axis=0).mean(axis=0).argmax())
        gains.append(curve.max() - curve[picked])
    return float(np.mean(gains))
