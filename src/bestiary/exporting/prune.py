"""A run's out-of-fold logits -> which of its members to keep, and how much that choice is worth.

What it rests on: each image was judged by one member, the one that held it out, so members are
compared on different images, and no subset of them can be tried as an ensemble out of fold. Members
are ranked by their own calibrated log loss on what they held out, which tells them apart better
than accuracy does. Folds are stratified, so that their images are about as hard; that they are not
exactly is in the standard errors. Where Cochran's test of homogeneity (Cochran 1954,
doi:10.2307/3001666) finds no difference among members, keeping these is as good as keeping any
others, and the loss in accuracy is that of having fewer. Knows nothing of networks.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.special import log_softmax
from scipy.stats import chi2

from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ArgumentError
from bestiary.evaluation.out_of_fold import read_out_of_fold
from bestiary.run.run import Run
from bestiary.stats.ensemble_gain import Estimate, ensemble_estimate


@dataclass(frozen=True, slots=True)
class Choice:
    """Which members stay.

    Attributes:
        kept: their folds, in order.
        losses: fold -> calibrated log loss on the images that it held out, in nats.
        errors: fold -> standard error of that, whole groups counted once.
        p: probability of losses at least as different among members that are equally good.
        before: estimated accuracy of all members on new images.
        after: of those kept, as if they were drawn at random.
    """

    kept: list[int]
    losses: dict[int, float]
    errors: dict[int, float]
    p: float
    before: Estimate
    after: Estimate

    @property
    def line(self) -> str:
        """What was chosen and what it is worth, in words."""
        verdict = (
            "members differ more than by chance"
            if self.p < 0.05
            else "members are not to be told apart, so others would do as well"
        )
        return (
            f"Kept members {', '.join(map(str, self.kept))} of {len(self.losses)} by log loss out "
            f"of fold "
            f"(p = {self.p:.2g}: {verdict}); estimated accuracy {self.before.value:.4f} before, "
            f"{self.after.value:.4f} after"
        )

    def to_json(self) -> dict[str, Any]:
        """What a card holds under ``prune``."""
        return {
            "kept": self.kept,
            "of": list(self.losses),
            "log_loss": {str(fold): loss for fold, loss in self.losses.items()},
            "standard_error": {str(fold): error for fold, error in self.errors.items()},
            "p_equal": self.p,
            "estimated_accuracy": {"before": self.before.value, "after": self.after.value},
            "rests_on": "each member's own held-out images; no subset can be tried as an ensemble "
            "out of fold",
        }


def choose_members(run: Run, ensemble: Ensemble, count: int) -> Choice:
    """The `count` members whose log loss on what they held out is least.

    Raises:
        ArgumentError: `count` is not below the number of members, or not all folds have ended.
    """
    if not 1 <= count < len(ensemble.members):
        raise ArgumentError(
            f"--prune {count}: {run.place} has {len(ensemble.members)} members; keep at least 1 "
            f"and not all of them"
        )
    if ensemble.calibration is None:
        raise ArgumentError(
            f"--prune {count}: not all folds of {run.place} have ended; go on with it by --resume "
            f"first"
        )
    found = read_out_of_fold(run).scored()
    logits, labels = found.logits.astype(np.float64), found.labels
    folds, groups = found.folds, found.groups
    lost = -log_softmax(logits / ensemble.calibration.temperature, axis=1)[
        np.arange(len(labels)), labels
    ]
    losses = {int(fold): float(lost[folds == fold].mean()) for fold in np.unique(folds)}
    errors = {fold: _standard_error(lost[folds == fold], groups[folds == fold]) for fold in losses}
    kept = sorted(sorted(losses, key=lambda fold: (losses[fold], fold))[:count])
    hits = logits.argmax(axis=1) == labels
    before, after = (ensemble_estimate(hits, groups, members) for members in (len(losses), count))
    return Choice(
        kept, losses, errors, _p_equal(list(losses.values()), list(errors.values())), before, after
    )


def _standard_error(
    values: np.ndarray[Any, np.dtype[np.float64]], groups: np.ndarray[Any, np.dtype[np.int64]]
) -> float:
    """Of the mean of `values` (images,), whole groups counted once; never 0."""
    _, codes = np.unique(groups, return_inverse=True)
    residuals = np.bincount(codes, values - values.mean())
    count = len(residuals)
    return max(float(np.sqrt(count / max(1, count - 1) * (residuals**2).sum()) / len(values)), 1e-9)


def _p_equal(losses: list[float], errors: list[float]) -> float:
    """Cochran's Q: the chance of losses so different where all are the same."""
    weights = 1 / np.square(errors)
    mean = float((weights * losses).sum() / weights.sum())
    return float(chi2.sf((weights * np.square(np.array(losses) - mean)).sum(), len(losses) - 1))
