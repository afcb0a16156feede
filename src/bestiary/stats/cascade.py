"""Out-of-fold logits -> a cascade: the answers of one member that the other members need not check.

An image stops after the first member if its calibrated confidence is high enough. Where images have
several views, that member's answer to the first view alone may be the one that stops. The least
confidence comes from out-of-fold predictions, which are those of single members. So the share of
wrong answers among those that stop is bounded as it is among accepted answers: at most the risk
that was asked for, with 95 % certainty (`bestiary.stats.calibration.accepted_threshold`). All
members together can mend no more than these. Pure functions of arrays.
"""

from dataclasses import dataclass, field
from typing import Self

import numpy as np
from numpy.typing import NDArray

from bestiary.numbers import percent, points
from bestiary.stats.calibration import NEVER, Calibration, upper_risk
from bestiary.stats.crossfit import crossfit_parts

Flags = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Cascade:
    """When one member's answer stands, and how that went out of fold.

    The counts are cross-fitted: each part's images stop by what the other parts have learnt.

    Attributes:
        risk: largest share of errors among images that stop, as asked for.
        calibration: its ``accepted`` has the least confidence of an image that stops.
        n_images: out-of-fold images.
        n_stopped: of these, those that stop.
        n_wrong: of these, those that are wrong.
        sees_first_view: whether the first member is asked about the first of several views alone.
        note: what a user should know besides; empty: nothing.
        n_stopped_groups: groups of the images that stop; None: every image is its own group.
        stopped: which of the out-of-fold images stop (images,); None: not known.
    """

    risk: float
    calibration: Calibration
    n_images: int
    n_stopped: int
    n_wrong: int
    sees_first_view: bool = False
    note: str = ""
    n_stopped_groups: int | None = None
    stopped: Flags | None = field(default=None, repr=False, compare=False)

    @classmethod
    def fit(
        cls,
        logits: NDArray[np.floating],
        labels: NDArray[np.int64],
        folds: NDArray[np.int64],
        groups: NDArray[np.int64],
        risk: float,
    ) -> Self:
        """Learn when to stop from out-of-fold predictions.

        Args:
            logits: (images, classes), each image's from the member that was not trained on it.
            labels: class numbers (images,).
            folds: fold of each image (images,).
            groups: group number of each image (images,); a group is one piece of evidence.
            risk: one of `bestiary.stats.calibration.RISKS`.

        Returns:
            The cascade.

        Example:
            >>> rng = np.random.default_rng(0)
            >>> labels = rng.integers(0, 3, 900)
            >>> logits = 4 * np.eye(3)[labels] + rng.normal(size=(900, 3))
            >>> cascade = Cascade.fit(logits, labels, np.arange(900) % 5, np.arange(900), 0.05)
            >>> cascade.n_wrong <= 0.05 * cascade.n_stopped
            True
        """
        stopped = np.zeros(len(labels), np.bool_)
        parts = crossfit_parts(folds, groups)
        for part in np.unique(parts):
            is_val = parts == part
            learnt = Calibration.fit(logits[~is_val], labels[~is_val], groups[~is_val])
            stopped[is_val] = _stops(learnt, risk, logits[is_val])
        is_wrong = logits.argmax(axis=1) != labels
        return cls(
            risk=risk,
            calibration=Calibration.fit(logits, labels, groups),
            n_images=len(labels),
            n_stopped=int(stopped.sum()),
            n_wrong=int((stopped & is_wrong).sum()),
            n_stopped_groups=len(np.unique(groups[stopped])),
            stopped=stopped,
        )

    @property
    def threshold(self) -> float:
        """Least confidence of an image that stops, 0 to 1; 2 where no confidence is enough."""
        return self.calibration.accepted[self.risk]

    @property
    def never_stops(self) -> bool:
        """Whether there are too few images, or too many errors, to promise the risk."""
        return self.threshold >= NEVER

    @property
    def max_cost(self) -> float:
        """Accuracy that stopping costs at most: the upper 95 % limit of stopped, wrong answers."""
        if not self.n_stopped:
            return 0.0
        share = self.n_wrong / self.n_stopped
        groups = self.n_stopped if self.n_stopped_groups is None else self.n_stopped_groups
        return upper_risk(share * groups, groups) * self.n_stopped / self.n_images

    def stops(self, logits: NDArray[np.floating]) -> Flags:
        """Tell which images stop after one member.

        Args:
            logits: of that member (images, classes).

        Returns:
            Flags (images,).
        """
        return _stops(self.calibration, self.risk, logits)

    def __str__(self) -> str:
        share = self.n_stopped / self.n_images
        wrong = self.n_wrong / max(1, self.n_stopped)
        after = "one view of one member" if self.sees_first_view else "one member"
        others = "other views and members" if self.sees_first_view else "others"
        return (
            f"Cascade at risk {self.risk:g}: an image stops after {after} whose confidence is "
            f"{percent(self.threshold)} or more. Out of fold {percent(share)} stop, of which "
            f"{percent(wrong)} are wrong; the {others} could mend at most "
            f"{points(self.max_cost)} points of accuracy{self.note}"
        )


def _stops(calibration: Calibration, risk: float, logits: NDArray[np.floating]) -> Flags:
    probabilities = calibration.probabilities(logits[None], "logits")
    return np.asarray(probabilities.max(axis=1) >= calibration.accepted[risk])
