"""Recipe: all options of a training run as one frozen object, checked and with every value known.

The options themselves are in `bestiary.recipe.sections`. Knows nothing of networks and images.
"""

import json
from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple, Self

import tomli_w
from pydantic import ValidationError, model_validator

from bestiary.errors import RecipeError
from bestiary.recipe.optimization import (
    LossOptions,
    MixOptions,
    OptimizerOptions,
    ScheduleOptions,
)
from bestiary.recipe.problem import describe_problem
from bestiary.recipe.sections import (
    DataOptions,
    FoldOptions,
    ModelOptions,
    PredictOptions,
    Section,
    TrackOptions,
    TrainOptions,
    ViewOptions,
)


class Recipe(Section):
    """Every option of a run, frozen and with every value known.

    Attributes:
        data: which images are used.
        folds: how images are assigned to folds.
        model: backbone, head and what is frozen.
        view: sizes and augmentation.
        mix: MixUp and CutMix.
        loss: training loss.
        optimizer: learning rates and weight decay.
        schedule: learning rate over time.
        train: epochs, batch size, weights to keep.
        predict: averaging and test-time augmentation.
        track: experiment trackers.

    Example:
        >>> import bestiary
        >>> recipe = bestiary.Recipe()
        >>> recipe.model.backbone
        'offline/efficientnet_lite0'
        >>> longer = recipe.with_values({"train.epochs": 8})
        >>> longer.differences(recipe)
        ['train.epochs']
    """

    data: DataOptions = DataOptions()
    folds: FoldOptions = FoldOptions()
    model: ModelOptions = ModelOptions()
    view: ViewOptions = ViewOptions()
    mix: MixOptions = MixOptions()
    loss: LossOptions = LossOptions()
    optimizer: OptimizerOptions = OptimizerOptions()
    schedule: ScheduleOptions = ScheduleOptions()
    train: TrainOptions = TrainOptions()
    predict: PredictOptions = PredictOptions()
    track: TrackOptions = TrackOptions()

    @property
    def adapts(self) -> bool:
        """Whether adapters are trained, and not the network."""
        return self.model.lora > 0 and self.train.epochs > 0

    @model_validator(mode="after")
    def _check_combinations(self) -> Self:
        if not self.train.epochs and not self.model.fits_head:
            raise ValueError(
                "train.epochs = 0: nothing would be learned; give 1 or more, or model.head=auto"
            )
        if self.model.fits_head and self.model.weights == "none":
            raise ValueError(
                'model.weights = "none": a fitted head needs a pretrained network; leave '
                "model.weights out"
            )
        if self.train.wise_ft and self.train.keep_best:
            raise ValueError(
                f"train.wise_ft = {self.train.wise_ft:g}: averages the last epoch's weights with "
                "the initial ones, so no epoch can be picked; give train.keep_best=false too"
            )
        self._check_balance()
        return self

    def _check_balance(self) -> None:
        """Refuse options for uneven classes that have no effect, or the same one twice."""
        balanced = self.data.sampler == "balanced"
        key = "data.sampler" if balanced else "loss.class_weights"
        if (balanced or self.loss.class_weights) and not self.train.epochs:
            raise ValueError(
                f"{key}: acts in epochs, and train.epochs = 0; leave it out, or give epochs (for "
                "decisions that favor rare classes: predict --costs balanced)"
            )
        if balanced and self.loss.class_weights:
            raise ValueError(
                f"loss.class_weights = {self.loss.class_weights:g}: data.sampler = balanced has "
                "balanced the classes already; leave one of them out"
            )

    @classmethod
    def parse(cls, values: dict[str, Any], origin: str = "recipe") -> Self:
        """Check values and fill in the defaults.

        Args:
            values: section -> key -> value.
            origin: where the values are from, for the error.

        Raises:
            RecipeError: one line that names the key, the value and the remedy.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            keys = [option.name for option in options()]
            problem = describe_problem(error, keys, list(cls.model_fields))
            raise RecipeError(f"{origin}: {problem}") from None

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Copy the recipe with other values, which are not checked again.

        Args:
            values: ``section.key`` -> value of the key's own type.

        Example:
            >>> Recipe().with_values({"train.seed": 3}).train.seed
            3
        """
        sections: dict[str, dict[str, Any]] = {}
        for name, value in values.items():
            section, _, key = name.partition(".")
            sections.setdefault(section, {})[key] = value
        changed = {}
        for section, update in sections.items():
            changed[section] = getattr(self, section).model_copy(update=update)
        return self.model_copy(update=changed)

    def to_toml(self) -> str:
        """Write the recipe as TOML with every value; `load_recipe` of it gives the same recipe."""
        return tomli_w.dumps(self.model_dump(mode="json"))

    def differences(self, other: Self) -> list[str]:
        """List the keys whose values differ, as ``section.key``."""
        theirs = other.model_dump()
        names = []
        for section, values in self.model_dump().items():
            for key, value in values.items():
                if theirs[section][key] != value:
                    names.append(f"{section}.{key}")
        return names


class Option(NamedTuple):
    """One key of the recipe, for help and documentation.

    Attributes:
        name: as section.key.
        default: in TOML's notation.
        description: what it does.
    """

    name: str
    default: str
    description: str


def options() -> Iterator[Option]:
    """Yield every option of the recipe, in order.

    Example:
        >>> next(options()).name
        'data.root'
    """
    for section, field in Recipe.model_fields.items():
        defaults = field.default
        for key, option in type(defaults).model_fields.items():
            default = json.dumps(getattr(defaults, key))  # for these values, TOML's notation too
            yield Option(f"{section}.{key}", default, option.description or "")
