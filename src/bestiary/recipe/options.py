"""Recipe: every option of a training run, said once.

Turns a shipped recipe's name or a TOML file, with `section.key=value` overrides, into one frozen
`Recipe` whose every value is known. The command line's help, the documentation and the validation
derive from the fields below. Knows no network and no image.
"""

import difflib
import json
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, NamedTuple, Self

import tomli_w
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from bestiary.errors import RecipeError
from bestiary.renamed import RECIPE_KEYS, RECIPE_VALUES

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Whole = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]
Count = Annotated[int, Field(ge=1, lt=1 << 31, strict=True)]


class Section(BaseModel):
    """A frozen group of options that refuses keys it does not know."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataOptions(Section):
    """Which images are taken and how they are kept while training."""

    root: str = Field(
        "",
        description="folder that a table's paths start from and may not leave; empty: the table's "
        "own",
    )
    group_pattern: str = Field(
        "",
        description="regular expression whose first parentheses find a group's name (camera, "
        "specimen, burst) in a "
        "image's path; a group stays in one fold",
    )
    store: bool = Field(
        True, description="keep decoded images on disk, so that each is decoded once for all runs"
    )
    store_side: Whole = Field(
        0,
        description="short side of a stored image in pixels, larger ones are shrunk; 0: 1.5 x "
        "view.size",
    )
    store_limit_gb: Positive = Field(
        50.0,
        description="disk that stored images may take; beyond it images are decoded each time",
    )

    shuffle_buffer: Count = Field(
        10_000,
        description="images in shards that are shuffled together; all that an epoch reads at a time",
    )

    @model_validator(mode="after")
    def _has_group(self) -> Self:
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise ValueError(
                f"data.group_pattern = {self.group_pattern!r}: is not a regular expression "
                f"({error}); mend it"
            ) from None
        if self.group_pattern and not groups:
            raise ValueError(
                f"data.group_pattern = {self.group_pattern!r}: has no parentheses; put them around "
                f"the group's name"
            )
        return self


class FoldOptions(Section):
    """How images are dealt to the folds of cross-validation."""

    n: Annotated[int, Field(ge=2, le=100, strict=True)] = Field(
        5, description="number of folds, each with a member of its own"
    )
    seed: Whole = Field(
        0, description="seed of the deal; the same images and seed give the same folds anywhere"
    )
    rare_classes: Literal["error", "drop", "keep"] = Field(
        "error",
        description="a class with fewer groups than folds: stop, leave the class out, or deal what "
        "there is",
    )


class ModelOptions(Section):
    """The network that each fold starts from."""

    backbone: str = Field(
        "offline/efficientnet_lite0",
        description="torchvision/NAME, timm/NAME[.tag], or offline/efficientnet_lite0 to lite2",
    )
    weights: str = Field(
        "default",
        description="default, none, a torchvision weights name, or a .safetensors or .pth file",
    )
    normalize: bool = Field(
        True, description="subtract the backbone's mean and divide by its standard deviation"
    )
    head: Literal["random", "lda"] = Field(
        "random",
        description="last layer's start: random, or a linear discriminant of the training part's "
        "frozen features",
    )
    head_tau_norm: bool = Field(
        False,
        description="head of probe: class means made as equally long as the training part's own "
        "images want",
    )
    power_norm: bool = Field(
        False, description="the last layer is given the square root of the features"
    )
    freeze: Whole = Field(
        0,
        description="stages, counted from the input, that stay as they are (the stem is the first)",
    )
    freeze_norms: bool = Field(
        False, description="batch norms keep the statistics that came with the weights"
    )


class ViewOptions(Section):
    """How an image becomes the network's input: in training, and in validation and prediction."""

    size: Annotated[int, Field(ge=16, le=2048, strict=True)] = Field(
        224, description="side of a training view in pixels"
    )
    flip: Share = Field(0.5, description="probability of a horizontal mirror image")
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0, description="largest rotation, in degrees, either way"
    )
    scale: tuple[Share, Share] = Field(
        (0.35, 1.0), description="least and largest share of the area that a crop keeps"
    )
    ratio: tuple[Positive, Positive] = Field(
        (3 / 4, 4 / 3), description="least and largest width / height of a crop"
    )
    augment: Literal["none", "randaugment", "trivialaugment"] = Field(
        "none", description="changes of color and shape drawn for each training view"
    )
    device: Literal["cpu", "model"] = Field(
        "cpu",
        description="where training views are sampled: by the CPU's cores, or in batch where the "
        "network computes, for "
        "a GPU with few cores beside it",
    )
    eval_size: Annotated[int, Field(ge=0, le=2048, strict=True)] = Field(
        0,
        description="side of a validation and prediction view in pixels; 0: view.size times "
        "eval_scale",
    )
    eval_scale: Annotated[float, Field(ge=0.5, le=4)] = Field(
        1.0, description="side of a validation and prediction view as a multiple of view.size"
    )
    eval_resize: Literal["squash", "crop"] = Field(
        "squash",
        description="squash both sides to eval_size, or keep the aspect and crop the center",
    )
    eval_crop: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95,
        description="share of the short side that the center crop keeps, where eval_resize is crop",
    )

    @property
    def eval_side(self) -> int:
        """Side of a validation and prediction view in pixels."""
        return self.eval_size or round(self.size * self.eval_scale)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high or low <= 0:
                raise ValueError(
                    f"view.{name} = [{low:g}, {high:g}]: the first must be above 0 and not above "
                    f"the second"
                )
        if self.device == "model" and self.augment != "none":
            raise ValueError(
                f"view.augment = {self.augment!r}: is done by the CPU alone; leave view.device out"
            )
        return self


class MixOptions(Section):
    """Mixing of images and labels inside a batch."""

    probability: Share = Field(0.0, description="share of the batches that are mixed")
    mixup: NotNegative = Field(
        1.0, description="alpha of MixUp's Beta distribution; 0: never MixUp"
    )
    cutmix: NotNegative = Field(
        1.0, description="alpha of CutMix's Beta distribution; 0: never CutMix"
    )
    stop_at: Share = Field(
        1.0, description="share of the steps after which nothing is mixed any more"
    )


class LossOptions(Section):
    """What training makes small."""

    kind: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy", description="loss on soft targets"
    )
    gamma: NotNegative = Field(2.0, description="focal loss: how much easy images count less")
    label_smoothing: Share = Field(
        0.0, description="share of each target that is spread over all classes"
    )
    logit_adjustment: NotNegative = Field(
        0.0,
        description="how far rare classes are made equal to frequent ones: 0 favors accuracy, 1 "
        "balanced accuracy",
    )


class OptimizerOptions(Section):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    lr: Positive = Field(1e-4, description="learning rate at the schedule's height")
    head_lr_mult: Positive = Field(
        1.0, description="the last layer's learning rate as a multiple of lr"
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0, description="each stage's learning rate as a multiple of that of the stage after it"
    )
    weight_decay: NotNegative = Field(0.01, description="decoupled weight decay")
    decay_norm_and_bias: bool = Field(
        True, description="weight decay on biases and norms too, as PyTorch's default does"
    )


class ScheduleOptions(Section):
    """The learning rate over time."""

    kind: Literal["warm_restarts", "cosine"] = Field(
        "cosine",
        description="cosine with warm restarts, stepped once an epoch, or one cosine, stepped "
        "every batch",
    )
    first_cycle: Count = Field(10, description="warm_restarts: epochs of the first cycle")
    cycle_mult: Count = Field(
        2, description="warm_restarts: each cycle's length as a multiple of the one before"
    )
    warmup: Share = Field(
        0.0, description="cosine: share of all steps in which the rate rises from 0"
    )


class TrainOptions(Section):
    """The budget of a fold and the arithmetic it is done in."""

    epochs: Whole = Field(
        4,
        description="passes over a fold's training part; 0: the head alone, where model.head is "
        "probe",
    )
    batch_size: Count = Field(32, description="images a step, over all processes")
    seed: Whole = Field(0, description="seed of everything drawn in training")
    keep_best: bool = Field(
        True,
        description="score the held-out part every epoch and keep the best epoch; false: keep the "
        "last, unpicked",
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay a step of a moving average of the weights, which becomes the member; 0: "
        "no average",
    )
    wise_ft: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="share of the weights' start in the member, beside the trained ones; for "
        "keep_best=false",
    )
    save_every: Whole = Field(0, description="also keep the weights every so many epochs; 0: never")
    precision: Literal["auto", "bf16", "fp16", "float32"] = Field(
        "auto",
        description="arithmetic of the network; auto: the fastest in a short trial, float32 or "
        "what the device has",
    )
    layout: Literal["auto", "channels_last", "contiguous"] = Field(
        "auto", description="order of a tensor's axes in memory; auto: the faster in a short trial"
    )
    compile: Literal["auto", "never", "always"] = Field(
        "auto", description="torch.compile; auto: where a trial shows that it pays within the run"
    )
    threads: Whole = Field(
        0, description="PyTorch's threads on a CPU; 0: as many as there are cores"
    )


class PredictOptions(Section):
    """How members are put together."""

    average: Literal["logits", "probabilities", "vote"] = Field(
        "logits", description="what is averaged over members"
    )
    tta: Literal[1, 2, 5] = Field(
        1,
        description="views of an image whose logits are averaged: 1 the view itself, 2 its mirror "
        "image too, 5 the "
        "whole and its four corners",
    )


class TrackOptions(Section):
    """Where the numbers of a run are logged beside history.csv and TensorBoard."""

    to: tuple[Literal["mlflow", "wandb"], ...] = Field(
        (), description="further trackers: mlflow, wandb"
    )
    project: str = Field("bestiary", description="the project's name at those trackers")


class Recipe(Section):
    """Every option of a run; frozen, with every value known.

    Raises:
        RecipeError: from `load_recipe` and `Recipe.parse`, one line naming the key, the value and
            the remedy.
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

    @model_validator(mode="after")
    def _learns(self) -> Self:
        if not self.train.epochs and self.model.head != "lda":
            raise ValueError(
                "train.epochs = 0: nothing would be learnt; give 1 or more, or model.head=lda"
            )
        if self.model.head == "lda" and self.model.weights == "none":
            raise ValueError(
                'model.weights = "none": a probe needs a pretrained network; leave model.weights '
                "out"
            )
        if self.train.wise_ft and self.train.keep_best:
            raise ValueError(
                f"train.wise_ft = {self.train.wise_ft:g}: it is the last epoch's weights that are "
                f"joined with "
                "their start, so no epoch can be picked; give train.keep_best=false too"
            )
        return self

    @classmethod
    def parse(cls, values: dict[str, Any], origin: str = "recipe") -> Self:
        """Check `values` (section -> key -> value) and fill in the defaults; `origin` is named
        in errors.
        """
        try:
            return cls.model_validate(values)
        except ValidationError as error:
            raise RecipeError(f"{origin}: {_first_problem(error)}") from None

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
        return self.model_copy(
            update={
                section: getattr(self, section).model_copy(update=changed)
                for section, changed in sections.items()
            }
        )

    def to_toml(self) -> str:
        """The recipe as TOML, every value written out; `Recipe.parse` of it gives the same
        recipe.
        """
        return tomli_w.dumps(self.model_dump(mode="json"))

    def differences(self, other: Self) -> list[str]:
        """The keys whose values differ, as ``section.key``."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [
            f"{s}.{k}"
            for s, section in mine.items()
            for k, v in section.items()
            if theirs[s][k] != v
        ]


class Option(NamedTuple):
    """One key of the recipe, for help and documentation."""

    name: str  # section.key
    default: str
    description: str


def options() -> Iterator[Option]:
    """Every option of the recipe in order, with its default as TOML."""
    for section, field in Recipe.model_fields.items():
        for key, option in field.default.__class__.model_fields.items():
            default = json.dumps(
                getattr(field.default, key)
            )  # TOML's notation too, for such values
            yield Option(f"{section}.{key}", default, option.description or "")


def _first_problem(error: ValidationError) -> str:
    """The first of pydantic's findings as one line that names the key, the value and what is
    allowed.
    """
    problem = error.errors()[0]
    location = [str(part) for part in problem["loc"]]
    name = ".".join(location[:2])
    if problem["type"] == "extra_forbidden":
        new = RECIPE_KEYS.get(name) or RECIPE_KEYS.get(location[0])
        if new:
            return f"{name} is called {new} now"
        known = [o.name for o in options()] if len(location) > 1 else list(Recipe.model_fields)
        near = difflib.get_close_matches(name, known, 1, 0.4)
        if not near and len(location) > 1:  # the right key in the wrong section
            near = [o for o in known if o.partition(".")[2] == location[1]]
        return f"{name} is not an option; " + (
            f"did you mean {near[0]}?" if near else "see bestiary train --help"
        )
    if problem["type"] == "value_error":
        return str(problem["msg"]).removeprefix("Value error, ")
    message = str(problem["msg"])
    value = problem["input"]
    new = RECIPE_VALUES.get((name, value)) if isinstance(value, str) else None
    if new:
        return f"{name} = {value!r} is called {new!r} now"
    return f"{name} = {_shown(value)}: {message[0].lower()}{message[1:]}"


def _shown(value: object) -> str:
    try:
        return f"{value!r:.120}"
    except (
        ValueError,
        RecursionError,
    ):  # a number of more digits than Python writes, a list of lists of lists ...
        return f"(a very large {type(value).__name__})"
