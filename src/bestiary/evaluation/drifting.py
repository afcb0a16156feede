"""A run and the logits of new images -> whether the world is still the one it was trained on.

The reference is the out-of-fold logits: each image's by a member that was not trained on it. Each
new image is seen by one member, drawn for it, so that both samples are made alike. Reads no image.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Self

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student_t

from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import RunError
from bestiary.evaluation.out_of_fold import OutOfFold, read_out_of_fold
from bestiary.numbers import counted
from bestiary.rng import keyed_rng
from bestiary.run.run import Run
from bestiary.stats.crossfit import crossfit_parts, crossfit_probabilities
from bestiary.stats.drift import MAX_IMAGES, MIN_IMAGES, Drift, drift_test
from bestiary.stats.intervals import Interval, wilson_interval

NEW_IMAGES = 50  # of a watched folder, between two tests
WATCHED_IMAGES = 200  # the latest, which are tested

Logits = NDArray[np.float32]
Labels = NDArray[np.int64]
Vectors = NDArray[np.float32]


@dataclass(frozen=True)
class World:
    """The images that a run knows, as its members see them unseen.

    Attributes:
        logits: of one image a leak group, divided by the spread of its member's (images, classes).
        members: member of each of these images (images,).
        scales: spread of each member's logits (members,).
    """

    logits: NDArray[np.float64]
    members: Labels
    scales: NDArray[np.float64]

    @classmethod
    def of(cls, known: OutOfFold) -> Self:
        """Take what a run knows from its out-of-fold logits.

        Args:
            known: out-of-fold logits without conflicts of a run whose folds have ended. Nothing is
                scored by them, so the fold of a budget is among them: each member takes part.
        """
        numbers, members = np.unique(known.folds, return_inverse=True)
        scales = np.array([known.logits[members == m].std() for m in range(len(numbers))])
        scales = np.maximum(scales.astype(np.float64), 1e-12)
        first = compared_rows(known)
        scaled = known.logits / scales[members][:, None]
        return cls(scaled[first], members[first].astype(np.int64), scales)

    def compare(
        self,
        logits: Logits,
        groups: Labels | None = None,
        features: tuple[Vectors, Vectors] | None = None,
    ) -> Drift:
        """Test whether new images are of this world, whatever the shares of their classes.

        Args:
            logits: of new images by all members (members, images, classes).
            groups: group number of each image (images,). The images of a group are one piece of
                evidence: the first is compared, and the others have its score. None: each image
                counts for itself.
            features: of this world's images and of the new ones, (any, features) each, which are
                compared in place of the logits.

        Returns:
            The result; its scores are in the order of the images.

        Raises:
            RunError: the logits are of other members.
        """
        if len(logits) != len(self.scales):
            raise RunError(
                "drift needs a finished run whose members are those of its folds; "
                "go on with bestiary train DATA RUN --resume"
            )
        if groups is not None:
            _, first, group_of = np.unique(groups, return_index=True, return_inverse=True)
            if features is not None:
                features = (features[0], features[1][first])
            drift = self.compare(logits[:, first], features=features)
            return replace(drift, scores=drift.scores[group_of])
        rng = keyed_rng(0, "drift members", logits.shape[1])
        seen_by = rng.choice(self.members, logits.shape[1])
        new = logits[seen_by, np.arange(logits.shape[1])] / self.scales[seen_by][:, None]
        old_vectors, new_vectors = features or (self.logits, new)
        return drift_test(old_vectors, new_vectors, self.logits.argmax(axis=1), new.argmax(axis=1))


def compared_rows(known: OutOfFold) -> Labels:
    """Number the images that stand for their leak group, the first of each (groups,).

    Args:
        known: out-of-fold logits of a run, as `World.of` takes them.
    """
    return np.unique(known.leak_groups, return_index=True)[1]


@dataclass(frozen=True)
class AccuracyEstimate:
    """How well the mean confidence of a run tells its accuracy on images without labels.

    Attributes:
        fold_errors: of each fold, mean confidence less accuracy (folds,).
        fold_images: images of a fold, on average.
    """

    fold_errors: NDArray[np.float64]
    fold_images: float

    @classmethod
    def of(cls, known: OutOfFold) -> Self:
        """Measure it on folds, whose labels are known.

        Args:
            known: scorable out-of-fold logits of a run whose folds have ended.
        """
        parts = crossfit_parts(known.folds, known.groups)
        probabilities = crossfit_probabilities(known.logits, known.labels, parts)
        excess = probabilities.max(axis=1) - (probabilities.argmax(axis=1) == known.labels)
        errors = np.array([excess[parts == part].mean() for part in np.unique(parts)])
        return cls(errors, len(parts) / len(errors))

    def expected_accuracy(self, confidences: NDArray[np.float64]) -> Interval:
        """Estimate the accuracy on new images by their mean confidence.

        Its interval is as wide as the same estimate is wrong on folds held out, and never narrower
        than Wilson's for the images of all folds. So it holds for images of the same world.

        Args:
            confidences: calibrated confidence of each image (images,), at least one.
        """
        value = float(confidences.mean())
        folds = len(self.fold_errors)
        half = float(student_t.ppf(0.975, folds) * self.error)
        half *= max(1.0, self.fold_images / len(confidences)) ** 0.5
        # Folds without a mistake do not make it certain: they have so many images, and no more.
        low, high = wilson_interval(value, self.fold_images * folds)
        return Interval(value, max(0.0, min(low, value - half)), min(1.0, max(high, value + half)))

    @cached_property
    def error(self) -> float:
        """Root mean square of the folds' errors of estimate."""
        return float(np.sqrt((self.fold_errors**2).mean()))


class DriftMonitor:
    """Collects logits of images as they are predicted, a random sample of many.

    Args:
        world: what the run knows.
        window: images that are kept at most, random ones of all; at most `MAX_IMAGES`.
        latest: whether to keep the latest instead.
    """

    def __init__(self, world: World, window: int = MAX_IMAGES, latest: bool = False) -> None:
        self.world = world
        self.window = window
        self.latest = latest
        self.images = 0
        self._kept: list[Logits] = []
        self._due = NEW_IMAGES
        self._was_changed = False
        self._is_told = False
        self._rng = keyed_rng(0, "drift window")

    def add(self, logits: Logits) -> None:
        """Take the logits of a batch (members, images, classes)."""
        for row in range(logits.shape[1]):
            self.images += 1
            own = logits[:, row].copy()  # a view would keep its whole batch
            if len(self._kept) < self.window:
                self._kept.append(own)
            elif self.latest:
                self._kept[(self.images - 1) % self.window] = own
            elif (place := int(self._rng.integers(self.images))) < self.window:
                self._kept[place] = own

    def result(self) -> Drift | None:
        """Test the images that were kept; None: too few to say anything."""
        kept = list(self._kept)  # another thread may add to it meanwhile
        if len(kept) < MIN_IMAGES:
            return None
        return self.world.compare(np.stack(kept, axis=1))

    def line(self) -> str:
        """Say what a test of the images that were kept finds; empty where they are too few."""
        drift = self.result()
        return describe_drift(drift) if drift and drift.can_tell else ""

    def notify(self, notice: Callable[[str], None], logits: Logits) -> None:
        """Take the logits of a batch; test now and then, and give notice of the first change.

        A test that is repeated finds a change by chance more often. So it waits for `NEW_IMAGES`
        new ones each time, and two tests in turn have to find it.

        Args:
            notice: is given the line.
            logits: of a batch (members, images, classes).
        """
        self.add(logits)
        if self._is_told or self.images < self._due:
            return
        self._due = self.images + NEW_IMAGES
        drift = self.result()
        is_changed = drift is not None and drift.changed
        if drift is not None and is_changed and self._was_changed:
            self._is_told = True
            notice(describe_drift(drift))
        self._was_changed = is_changed


def drift_monitor(run: Run, ensemble: Ensemble, latest: bool) -> DriftMonitor | None:
    """Watch the images that an ensemble predicts; None where its run is not finished.

    Args:
        run: of the ensemble.
        ensemble: predicts.
        latest: whether the latest images count, or a sample of all.
    """
    try:
        world = World.of(read_out_of_fold(run.load()).without_conflicts())
    except RunError:
        return None  # prediction works without it
    if len(world.scales) != len(ensemble.folds):
        return None
    return DriftMonitor(world, WATCHED_IMAGES if latest else MAX_IMAGES, latest)


def describe_drift(drift: Drift) -> str:
    """Say in one line what a test has found.

    Args:
        drift: of new images.
    """
    auc = f"AUC {drift.auc.value:.2f}, 95 % interval {drift.auc.low:.2f} to {drift.auc.high:.2f}"
    sizes = f"{counted(drift.images, 'new image')} against {drift.reference:,}"
    if not drift.can_tell:
        return f"Drift: too few comparable images to say ({drift.images:,} of {MIN_IMAGES})"
    if drift.changed:
        return f"Drift: the new images can be told from the run's ({auc}; {sizes})"
    measured = f"{auc}; {sizes}; p = {drift.p_value:.2f}"
    return f"No sign of drift: the new images look like the run's ({measured})"
