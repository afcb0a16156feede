"""A run's out-of-fold logits -> which members to keep in the file (prune), and what that costs.

Each image was judged by one member, the one that held it out. So members are compared on different
images, and no subset of them can be tried as an ensemble out of fold. Members are ranked by their
own calibrated log loss on what they held out, which separates them better than accuracy does.

Folds are stratified, so their images are about equally hard; the standard errors cover the rest.
Where Cochran's test of homogeneity (Cochran 1954, doi:10.2307/3001666) finds no difference among
members, these are as good as any others, and the loss in accuracy is that of having fewer. Knows
nothing of networks.
"""

from dataclasses import dataclass
from math import sqrt
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import chi2

from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.numbers import counted, percent
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration
from bestiary.stats.ensemble_gain import Estimate, ensemble_estimate
from bestiary.stats.intervals import cluster_variance
from bestiary.stats.metrics import logit_log_losses

SIGNIFICANCE = 0.05
MIN_STANDARD_ERROR = 1e-9  # so that a weight 1 / error^2 is finite


@dataclass(frozen=True, slots=True)
class PruneChoice:
    """The members that stay.

    Attributes:
        kept_folds: their folds, in order.
        losses: fold -> calibrated log loss on the images that the member held out, in nats.
        errors: fold -> standard error of that loss, a group counted once.
        p: probability of losses at least as different among equally good members.
        before: estimated accuracy of all members on new images.
        after: estimated accuracy of the members that stay, as if they were drawn at random.
    """

    kept_folds: list[int]
    losses: dict[int, float]
    errors: dict[int, float]
    p: float
    before: Estimate
    after: Estimate

    @property
    def line(self) -> str:
        """The choice and its cost, in words."""
        verdict = (
            "members differ more than by chance"
            if self.p < SIGNIFICANCE
            else "members do not differ by more than chance, so others would do as well"
        )
        folds = ", ".join(map(str, self.kept_folds))
        return (
            f"Kept members {folds} of {len(self.losses)} by log loss out of fold "
            f"(p = {self.p:.2g}: {verdict}); estimated accuracy {percent(self.before.value)} "
            f"before, {percent(self.after.value)} after"
        )

    def to_json(self) -> dict[str, Any]:
        """Give what a card holds under ``prune``."""
        return {
            "kept": self.kept_folds,
            "of": list(self.losses),
            "log_loss": {str(fold): loss for fold, loss in self.losses.items()},
            "standard_error": {str(fold): error for fold, error in self.errors.items()},
            "p_equal": self.p,
            "estimated_accuracy": {"before": self.before.value, "after": self.after.value},
            "rests_on": "each member's own held-out images; no subset can be tried as an ensemble "
            "out of fold",
        }


def choose_members(run: Run, ensemble: Ensemble, count: int) -> PruneChoice:
    """Choose the `count` members with the least log loss on the images that they held out.

    Args:
        run: the run.
        ensemble: ensemble of the run.
        count: number of members to keep.

    Returns:
        The choice.

    Raises:
        ArgumentError: `count` is not below the number of members, or not all folds have ended.
    """
    calibration = _check_prunable(run, ensemble, count)
    # Members are compared on the fold of a budget too: its images chose the recipe of them all.
    held_out = read_out_of_fold(run.load()).without_conflicts()
    logits = held_out.logits.astype(np.float64)
    image_losses = logit_log_losses(logits / calibration.temperature, held_out.labels)
    losses, errors = _member_losses(image_losses, held_out.folds, held_out.groups)
    ranked = sorted(losses, key=lambda fold: (losses[fold], fold))
    scorable = held_out.scorable()
    hits = scorable.logits.argmax(axis=1) == scorable.labels
    return PruneChoice(
        kept_folds=sorted(ranked[:count]),
        losses=losses,
        errors=errors,
        p=_p_equal(list(losses.values()), list(errors.values())),
        before=ensemble_estimate(hits, scorable.groups, len(losses)),
        after=ensemble_estimate(hits, scorable.groups, count),
    )


def _check_prunable(run: Run, ensemble: Ensemble, count: int) -> Calibration:
    n_members = len(ensemble.folds)
    if not 1 <= count < n_members:
        raise ArgumentError(
            f"--prune {count}: {run.place} has {counted(n_members, 'member')}; keep at least 1 and "
            "not all of them"
        )
    if ensemble.calibration is None:
        raise ArgumentError(
            f"--prune {count}: not all folds of {run.place} have ended; continue it with --resume "
            f"first"
        )
    return ensemble.calibration


def _member_losses(
    losses: NDArray[np.float64], folds: NDArray[np.int64], groups: NDArray[np.int64]
) -> tuple[dict[int, float], dict[int, float]]:
    """Mean of `losses` (images,) in each fold, and its standard error."""
    means = {}
    errors = {}
    for fold in np.unique(folds).tolist():
        in_fold = folds == fold
        means[fold] = float(losses[in_fold].mean())
        errors[fold] = _standard_error(losses[in_fold], groups[in_fold])
    return means, errors


def _standard_error(values: NDArray[np.float64], groups: NDArray[np.int64]) -> float:
    """Standard error of the mean of `values` (images,), a group counted once; never 0."""
    _, codes = np.unique(groups, return_inverse=True)
    variance = cluster_variance(values - values.mean(), codes)
    return max(sqrt(variance), MIN_STANDARD_ERROR)


def _p_equal(losses: list[float], errors: list[float]) -> float:
    """Cochran's Q: probability of losses so different if all members are equally good."""
    weights = 1 / np.square(errors)
    mean = float((weights * losses).sum() / weights.sum())
    q = (weights * np.square(np.array(losses) - mean)).sum()
    return float(chi2.sf(q, len(losses) - 1))
