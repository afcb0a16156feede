"""The sections of a recipe: every option's type, default, range and description, said once.

The command line's help, the documentation and the validation derive from these fields. Knows
nothing of networks and images.
"""

import re
from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from bestiary.recipe.choices import (
    Augment,
    Average,
    FoldBy,
    Head,
    Layout,
    PrecisionOption,
    Resize,
    Sampler,
    StoreFormat,
    TtaViews,
)

Share = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0)]
Seconds = Annotated[float, Field(ge=0, le=1e9)]  # at most as a run's field.json may have
White = Annotated[float, Field(ge=0, le=1e12)]  # at most as a run's ensemble.json may have
Whole = Annotated[int, Field(ge=0, lt=1 << 31, strict=True)]
MIN_SIDE = 16  # pixels of a view
Count = Annotated[int, Field(ge=1, lt=1 << 31, strict=True)]


class Section(BaseModel):
    """A frozen group of options that refuses unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class DataOptions(Section):
    """Which images are used, and how they are stored while training."""

    root: str = Field(
        "",
        description="folder that the paths of a table start from; absolute paths below it are "
        "taken too; empty: the table's own folder",
    )
    boxes: str = Field(
        "",
        description="file of the boxes in the images, each a sample: MegaDetector's batch format, "
        "COCO, COCO Camera Traps, Label Studio, CVAT; empty: whole images, or a table's column box",
    )
    box_confidence: Share = Field(
        0.2,
        description="boxes of which the detector is less sure are left out",
    )
    taxonomy: str = Field(
        "",
        description="table of the classes with genus, family, order, class (or names of Darwin "
        "Core); empty: taxonomy.csv next to the images or their table, if there is one",
    )
    layout: Layout = Field(
        "auto",
        description="how the folders of a data folder are nested: class, split/class, class/split, "
        "part/class (folds, batches), or auto, which recognizes them and refuses what can be read "
        "in two ways",
    )
    group_pattern: str = Field(
        "",
        description="regular expression whose first parentheses match the group (camera, specimen, "
        "burst) in an image's path; the images of a group stay in one fold",
    )
    burst_seconds: Seconds = Field(
        10.0,
        description="photographs that one camera took of one scene, each at most this long after "
        "the one before (EXIF time), stay in one fold; 0: bursts are not looked for",
    )
    event_seconds: Seconds = Field(
        30.0,
        description="images of one site (columns site and time of the table), each at most this "
        "long after the one before, are one event: they stay in one fold and also get one answer; "
        "0: no events, unless the table has a column event",
    )
    store: bool = Field(
        True,
        description="store decoded images on disk: each image is decoded once for all runs",
    )
    store_side: Whole = Field(
        0,
        description="short side of a stored image in pixels; larger images are shrunk; "
        "0: 1.5 x view.size",
    )
    store_format: StoreFormat = Field(
        "raw",
        description="how images are stored: raw pixels, which are fast to read; or jpeg (quality "
        "95), which takes a tenth of the disk, is slower to read and not quite the same pixels",
    )
    store_limit_gb: Positive = Field(
        50.0,
        description="most disk space for stored images; the other images are decoded every time",
    )
    shuffle_buffer: Count = Field(
        10_000,
        description="images read from shards that are shuffled together",
    )
    sampler: Sampler = Field(
        "shuffled",
        description="images of an epoch: shuffled, each of them once; or balanced, as many of each "
        "class, with images of rare classes drawn again; answers stay those of the natural shares",
    )

    @model_validator(mode="after")
    def _check_group_pattern(self) -> Self:
        try:
            groups = re.compile(self.group_pattern).groups
        except re.error as error:
            raise ValueError(
                f"data.group_pattern = {self.group_pattern!r}: is not a regular expression "
                f"({error}); correct it"
            ) from None
        if self.group_pattern and not groups:
            raise ValueError(
                f"data.group_pattern = {self.group_pattern!r}: has no parentheses; put them around "
                "the group's name"
            )
        return self


class FoldOptions(Section):
    """How images are assigned to the folds of cross-validation."""

    n: Annotated[int, Field(ge=2, le=100, strict=True)] = Field(
        5,
        description="number of folds; each trains one member of the ensemble",
    )
    seed: Whole = Field(
        0,
        description="seed of the assignment; the same images and seed give the same folds anywhere",
    )
    by: FoldBy = Field(
        "image",
        description="what is left out together: image (and what must not be split: bursts, near "
        "duplicates, groups), or site: all images of a camera's place, by the column site of the "
        "table, so that the accuracy is that at new places",
    )
    rare_classes: Literal["error", "drop", "keep"] = Field(
        "error",
        description="a class with fewer groups (or sites) than folds: stop (error), leave the "
        "class out (drop), or use the images that there are (keep)",
    )


class ModelOptions(Section):
    """The network that each fold starts from."""

    backbone: str = Field(
        "offline/efficientnet_lite0",
        description="pretrained network: torchvision/NAME, timm/NAME[.TAG], "
        "offline/efficientnet_lite0 to offline/efficientnet_lite2, hf-hub:ORG/NAME or "
        "open_clip:ARCHITECTURE/TAG",
    )
    weights: str = Field(
        "default",
        description="pretrained weights: default, none, the name of torchvision weights, or a "
        ".safetensors or .pth file",
    )
    normalize: bool = Field(
        True,
        description="normalize pixels by the mean and standard deviation of the pretrained weights",
    )
    head: Head = Field(
        "random",
        description="initial last layer: random, or a linear discriminant analysis (lda) of frozen "
        "features of the training part, or auto: the better of lda, nearest class mean and "
        "logistic regression, chosen inside the training part",
    )
    head_tau_norm: bool = Field(
        False,
        description="lda and auto head: tau-normalize the class means, tau chosen inside the "
        "training part",
    )
    power_norm: bool = Field(
        False,
        description="power normalization: the last layer takes the signed square root of the "
        "features",
    )
    freeze: Whole = Field(
        0,
        description="number of stages to freeze, counted from the input; the stem is the first",
    )
    freeze_norms: bool = Field(
        False,
        description="freeze the statistics of batch normalization at their pretrained values",
    )

    lora: Annotated[int, Field(ge=0, le=1024, strict=True)] = Field(
        0,
        description="LoRA: rank of the small matrices that are trained beside the linear layers of "
        "a frozen transformer, and merged into it afterwards; 0: the network itself is trained; "
        "needs peft, and epochs",
    )

    @property
    def fits_head(self) -> bool:
        """Whether the initial last layer is fitted to frozen features."""
        return self.head != "random"


class ViewOptions(Section):
    """How an image becomes the network's input in training, validation and prediction."""

    size: Annotated[int, Field(ge=0, le=2048, strict=True)] = Field(
        224,
        description="side of a training view in pixels; 0: as the backbone's weights were trained",
        json_schema_extra={"anyOf": [{"const": 0}, {"minimum": MIN_SIDE}]},
    )
    flip: Share = Field(0.5, description="probability of a horizontal flip")
    rotation: Annotated[float, Field(ge=0, le=180)] = Field(
        0.0,
        description="largest random rotation in degrees, in both directions",
    )
    scale: tuple[Share, Share] = Field(
        (0.35, 1.0),
        description="random crop: smallest and largest share of the image's area",
    )
    ratio: tuple[Positive, Positive] = Field(
        (3 / 4, 4 / 3),
        description="random crop: smallest and largest aspect ratio, width / height",
    )
    augment: Augment = Field(
        "none",
        description="further augmentation of color and shape in training",
    )
    device: Literal["cpu", "model"] = Field(
        "cpu",
        description="where training views are augmented: on the CPU, or in batches on the model's "
        "device, for a GPU with few CPU cores",
    )
    white_level: White = Field(
        0.0,
        description="value of white in images of more than 8 bits that do not state it, such as "
        "4095 for 12 bits; 0: from the largest value of all images (train fills it in)",
    )
    white_level_float: White = Field(
        0.0,
        description="the same for images of floating-point numbers, such as 1 or 255",
    )
    eval_size: Annotated[int, Field(ge=0, le=2048, strict=True)] = Field(
        0,
        description="side of a validation and prediction view in pixels; "
        "0: view.size x view.eval_scale",
    )
    eval_scale: Annotated[float, Field(ge=0.5, le=4)] = Field(
        1.0,
        description="side of a validation and prediction view as a multiple of view.size",
    )
    eval_resize: Resize = Field(
        "squash",
        description="squash both sides to eval_size, or keep the aspect ratio and crop the center",
    )
    eval_crop: Annotated[float, Field(gt=0, le=1)] = Field(
        0.95,
        description="eval_resize = crop: share of the short side that the center crop keeps",
    )

    @property
    def eval_side(self) -> int:
        """Side of a validation and prediction view in pixels."""
        return self.eval_size or round(self.size * self.eval_scale)

    @model_validator(mode="after")
    def _check_ranges(self) -> Self:
        if 0 < self.size < MIN_SIDE:
            raise ValueError(f"view.size = {self.size}: must be 0, or from {MIN_SIDE} to 2048")
        for name, (low, high) in (("scale", self.scale), ("ratio", self.ratio)):
            if low > high or low <= 0:
                raise ValueError(
                    f"view.{name} = [{low:g}, {high:g}]: the first must be above 0 and not above "
                    "the second"
                )
        if self.device == "model" and self.augment != "none":
            raise ValueError(
                f"view.augment = {self.augment!r}: runs on the CPU only; leave view.device out"
            )
        return self


class TrainOptions(Section):
    """Epochs, batches, the weights to keep, and the numeric precision."""

    epochs: Whole = Field(
        4,
        description="epochs of each fold; 0: fit the head only, with model.head = lda or auto",
    )
    batch_size: Count = Field(32, description="images in a step, over all processes")
    batch_growth: Literal[1, 2, 4, 8] = Field(
        1,
        description="on a GPU, up to so many times batch_size where that saves a tenth of the time "
        "of an image, with the square root of it times optimizer.lr",
    )
    seed: Whole = Field(0, description="seed of every random draw in training")
    deterministic: bool = Field(
        False,
        description="on a GPU, use only algorithms that give the same bits again, also after "
        "--resume, as a CPU does anyway; slower, and not possible for every network",
    )
    keep_best: bool = Field(
        True,
        description="score the held-out part every epoch and keep the best epoch; false: keep the "
        "last epoch",
    )
    ema: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="decay of an exponential moving average (EMA) of the weights, which becomes "
        "the member; 0: no EMA",
    )
    wise_ft: Annotated[float, Field(ge=0, lt=1)] = Field(
        0.0,
        description="WiSE-FT: share of the initial weights in their average with the trained ones; "
        "needs keep_best = false",
    )
    save_every: Whole = Field(
        0,
        description="also save the weights every so many epochs; 0: never",
    )
    precision: PrecisionOption = Field(
        "auto",
        description="numeric precision; auto: the fastest that the device has, by a short trial",
    )
    layout: Literal["auto", "channels_last", "contiguous"] = Field(
        "auto",
        description="memory layout of image tensors; auto: the fastest, by a short trial",
    )
    compile: Literal["auto", "never", "always"] = Field(
        "auto",
        description="use torch.compile; auto: if a trial shows that it pays off within the run",
    )
    threads: Whole = Field(
        0,
        description="PyTorch's threads on a CPU; 0: one for each core",
    )


class PredictOptions(Section):
    """How the members' predictions become one."""

    average: Average = Field(
        "logits",
        description="what is averaged over the members",
    )
    tta: TtaViews = Field(
        1,
        description="test-time augmentation: number of views whose logits are averaged: 1 the "
        "image, 2 also its mirror image, 5 the image and its four corners",
    )


class TrackOptions(Section):
    """Experiment trackers, besides history.csv and TensorBoard."""

    to: tuple[Literal["mlflow", "trackio", "wandb"], ...] = Field(
        (),
        description="further experiment trackers: mlflow, trackio, wandb",
    )
    project: Annotated[str, Field(min_length=1, max_length=100)] = Field(
        "bestiary",
        description="name of the project in these trackers",
    )
