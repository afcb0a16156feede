"""A run -> what is told of it where it is served."""

from dataclasses import dataclass
from typing import Any, Self

from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import RunError
from bestiary.run.layout import METRICS
from bestiary.run.run import Run
from bestiary.serving.limits import Limits
from bestiary.serving.schemas import Bounds, Model, Score


@dataclass(frozen=True, slots=True)
class ServiceInfo:
    """What an ensemble does not know of itself.

    Attributes:
        name: of the run.
        score: out-of-fold accuracy, if the run has it.
        no_similar: why no similar training images are shown, where none are.
    """

    name: str = "ensemble"
    score: Score | None = None
    no_similar: str = "the service was started without the run's training images"

    @classmethod
    def of(cls, run: Run, no_similar: str) -> Self:
        """Those of `run`."""
        return cls(run.name, _score(run), no_similar)

    def model(self, ensemble: Ensemble, limits: Limits, similar: bool) -> Model:
        """All that is told; `similar` says whether similar training images are shown."""
        return Model(
            name=self.name,
            backbone=ensemble.members[0].name,
            members=len(ensemble.members),
            engine=ensemble.engine,
            classes=len(ensemble.classes_),
            calibrated=ensemble.calibration is not None,
            score=self.score,
            similar=None if similar else self.no_similar,
            limits=Bounds(bytes=limits.body, pixels=limits.pixels, images=limits.count),
        )


def _score(run: Run) -> Score | None:
    try:
        found: dict[str, Any] = run.read_json(METRICS)["oof"]["accuracy"]
        return Score(
            accuracy=found["value"], low=found["low"], high=found["high"], images=found["n"]
        )
    except (RunError, KeyError, TypeError, ValueError):  # a service can do without
        return None
