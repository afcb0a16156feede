"""ensemble.json -> a checked `EnsembleCard`: classes, view, averaging rule, members, calibration.

A run may come from a stranger, so every value is validated before it is used. Reads no weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bestiary.data.eval_view import EvalView
from bestiary.errors import DamagedError, RunError
from bestiary.printable import shell_name
from bestiary.recipe.choices import Average, Interpolation, PrecisionOption, Resize, TtaViews
from bestiary.run.json_files import JsonSection, first_problem
from bestiary.run.layout import ENSEMBLE, JOINED_FORMAT, MAX_RUNS, RUN_FORMAT
from bestiary.run.run import Run
from bestiary.stats.calibration import Calibration

MAX_CLASSES = 1_000_000
MAX_MEMBERS = 100
_Weight = Annotated[float, Field(ge=0, le=1e6)]


class _View(JsonSection):
    size: int = Field(ge=16, le=2048)  # as view.size of a recipe
    resize: Resize
    crop: float = Field(ge=1e-6, le=1)
    interpolation: Interpolation
    white_level: float = Field(default=1.0, ge=1e-9, le=1e12)
    white_level_float: float = Field(default=1.0, ge=1e-9, le=1e12)


class _Member(JsonSection):
    fold: int = Field(ge=0, lt=100)
    digest: str | None = Field(default=None, max_length=64)  # null: of an earlier version


class _Blend(JsonSection):
    weights: list[list[_Weight]] = Field(min_length=1, max_length=MAX_MEMBERS)


class _Card(JsonSection):
    classes: list[str] = Field(min_length=2, max_length=MAX_CLASSES)
    view: _View
    tta: TtaViews
    average: Average
    precision: PrecisionOption
    members: list[_Member] = Field(min_length=1, max_length=MAX_MEMBERS)
    blend: _Blend | None = None


@dataclass(frozen=True, slots=True)
class EnsembleCard:
    """What ensemble.json says about an ensemble.

    Attributes:
        place: path or address of the run.
        classes: class names in the order of the outputs.
        view: how an image becomes the members' input.
        tta: number of test-time augmentation views.
        average: how the members are averaged.
        precision: precision of the networks, or auto.
        folds: fold of each member.
        calibration: None until all folds have ended.
        digests: checksum of each member's file, as the run was finished with it; None: not known.
        blend_weights: of a joined run: weight of each run's logits in each member.
    """

    place: str
    classes: list[str]
    view: EvalView
    tta: TtaViews
    average: Average
    precision: PrecisionOption
    folds: list[int]
    calibration: Calibration | None
    digests: list[str | None] = field(default_factory=list)
    blend_weights: list[list[float]] = field(default_factory=list)

    @property
    def n_runs(self) -> int:
        """How many runs the members are blends of."""
        return len(self.blend_weights[0]) if self.blend_weights else 1

    def check_outputs(self, outputs: Sequence[int]) -> None:
        """Check that members and calibration fit the classes.

        Args:
            outputs: number of outputs of each member.

        Raises:
            RunError: they do not fit.
        """
        n_classes = len(self.classes)
        for n_outputs in outputs:
            if n_outputs != n_classes:
                raise RunError(f"{self.place}: a member has {n_outputs} outputs, not {n_classes}")

        if self.calibration is None:
            return
        for limits in self.calibration.class_prediction_sets.values():
            if len(limits) != n_classes:
                raise _foreign(self.place, "calibration.class_prediction_sets")

    def check_digests(self, digests: Sequence[str]) -> None:
        """Check that the members are those that the run was finished with.

        Another run's member may have as many classes in another order.

        Args:
            digests: checksum of each member's file.

        Raises:
            RunError: a file has been put in the place of another.
        """
        for fold, wanted, found in zip(self.folds, self.digests, digests, strict=False):
            if wanted not in (None, found):
                raise DamagedError(
                    f"{self.place}: fold {fold} has another member than {ENSEMBLE} was written "
                    f"for; put that file back, or remove the folder of that fold and go on with "
                    f"bestiary train DATA {shell_name(self.place)} --resume"
                )


def read_card(run: Run) -> EnsembleCard:
    """Read ensemble.json and validate every value in it.

    The paths of members in the file are ignored: a stranger's run names no place to read from.

    Args:
        run: the run.

    Returns:
        The card.

    Raises:
        RunError: the file is missing, damaged, of another format or not what bestiary writes.
    """
    content = run.read_json(ENSEMBLE)
    written = content.get("format")
    if written not in (RUN_FORMAT, JOINED_FORMAT):
        is_earlier = isinstance(written, int) and written < RUN_FORMAT
        remedy = "train it again, or use that version" if is_earlier else "update bestiary"
        raise RunError(
            f"{run.place}: ensemble.json has format {written!r}, "
            f"this bestiary reads {RUN_FORMAT}; {remedy}"
        )
    card = _validate(content, run.place)
    weights = card.blend.weights if card.blend else []
    n_runs = {len(row) for row in weights}
    is_blend = (
        len(weights) == len(card.members) and len(n_runs) == 1 and 2 <= max(n_runs) <= MAX_RUNS
    )
    if is_blend != (written == JOINED_FORMAT) or (weights and not is_blend):
        raise _foreign(run.place, "blend")
    folds = [member.fold for member in card.members]
    for name, values in (("classes", card.classes), ("members", folds)):
        if len(set(values)) < len(values):
            raise _foreign(run.place, f"{name}: one of them is there twice")
    try:
        return EnsembleCard(
            place=run.place,
            classes=card.classes,
            view=EvalView(**content["view"]),  # refuses further keys
            tta=card.tta,
            average=card.average,
            precision=card.precision,
            folds=folds,
            calibration=_read_calibration(content),
            digests=[member.digest for member in card.members],
            blend_weights=weights,
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _foreign(run.place, repr(error)) from None


def _validate(content: dict[str, Any], place: str) -> _Card:
    try:
        return _Card.model_validate(content)
    except ValidationError as error:
        raise _foreign(place, first_problem(error)) from None


def _read_calibration(content: dict[str, Any]) -> Calibration | None:
    if "calibration" not in content:
        return None
    return Calibration.read(content["calibration"])


def _foreign(place: str, reason: str) -> RunError:
    return DamagedError.foreign(f"{place}/{ENSEMBLE}", reason)
