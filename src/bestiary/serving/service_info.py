"""A run and its ensemble -> the service info of /v1/model: name, accuracy, engine and limits."""

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bestiary.ensemble.blending import backbone_names
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import RunError
from bestiary.run.layout import REPORTS
from bestiary.run.run import Run
from bestiary.serving.limits import Limits
from bestiary.serving.schemas import Bounds, Model, Score


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What the service shows of a run that the ensemble does not hold.

    Attributes:
        name: name of the run.
        score: out-of-fold accuracy, if the run has it.
        no_similar: reason why no similar training images are shown, where none are.
        report: file of the run's report; None: there is none.
    """

    name: str = "ensemble"
    score: Score | None = None
    no_similar: str = "the service was started without the run's training images"
    report: Path | None = None

    @classmethod
    def of(cls, run: Run, no_similar: str) -> Self:
        """Read the info of a run.

        Args:
            run: the run.
            no_similar: see the attribute.
        """
        report = run.file(REPORTS["html"])
        return cls(run.name, _read_score(run), no_similar, report if report.is_file() else None)

    def model(self, ensemble: Ensemble, limits: Limits, shows_similar: bool) -> Model:
        """Give the answer of /v1/model.

        Args:
            ensemble: the ensemble.
            limits: limits of the service.
            shows_similar: whether similar training images are shown.
        """
        bounds = Bounds(
            bytes=limits.max_body_bytes,
            pixels=limits.max_pixels,
            images=limits.max_images,
        )
        return Model(
            name=self.name,
            backbone=backbone_names(ensemble),
            members=len(ensemble.folds),
            engine=ensemble.engine,
            classes=len(ensemble.classes_),
            calibrated=ensemble.calibration is not None,
            score=self.score,
            similar=None if shows_similar else self.no_similar,
            report=self.report is not None,
            limits=bounds,
        )


def _read_score(run: Run) -> Score | None:
    try:
        scores = run.read_scores()
    except RunError:
        return None  # the service works without it
    if scores is None:
        return None
    accuracy = scores["accuracy"]
    return Score(
        accuracy=accuracy["value"],
        low=accuracy["low"],
        high=accuracy["high"],
        images=accuracy["n"],
    )
