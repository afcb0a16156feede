"""The sections of a recipe that say how a network is optimized: mixing, loss, optimizer, schedule.

As `bestiary.recipe.sections`, of which they are a part.
"""

from typing import Annotated, Literal

from pydantic import Field

from bestiary.recipe.sections import Count, NotNegative, Positive, Section, Share


class MixOptions(Section):
    """MixUp and CutMix: images and labels mixed inside a batch."""

    probability: Share = Field(0.0, description="share of the batches that are mixed")
    mixup: NotNegative = Field(1.0, description="alpha of MixUp's Beta distribution; 0: no MixUp")
    cutmix: NotNegative = Field(
        1.0,
        description="alpha of CutMix's Beta distribution; 0: no CutMix",
    )
    stop_at: Share = Field(1.0, description="stop MixUp and CutMix after this share of the steps")


class LossOptions(Section):
    """The training loss."""

    kind: Literal["cross_entropy", "focal"] = Field(
        "cross_entropy",
        description="training loss, on soft targets",
    )
    gamma: NotNegative = Field(
        2.0,
        description="focal loss: focusing parameter; the larger, the less easy images count",
    )
    label_smoothing: Share = Field(
        0.0,
        description="share of each target that is spread over all classes",
    )
    logit_adjustment: NotNegative = Field(
        0.0,
        description="strength of logit adjustment for rare classes: 0 favors accuracy, 1 balanced "
        "accuracy",
    )
    class_weights: Share = Field(
        0.0,
        description="strength of class weights: an image's loss counts by its class's share to the "
        "power of minus this; answers stay those of the natural shares, see logit_adjustment",
    )


class OptimizerOptions(Section):
    """AdamW (Loshchilov and Hutter 2019, arXiv:1711.05101)."""

    lr: Positive = Field(1e-4, description="peak learning rate")
    head_lr_mult: Positive = Field(
        1.0,
        description="learning rate of the last layer as a multiple of lr",
    )
    layer_decay: Annotated[float, Field(gt=0, le=1)] = Field(
        1.0,
        description="learning rate of each stage as a multiple of the next stage's",
    )
    weight_decay: NotNegative = Field(0.01, description="decoupled weight decay")
    decay_norm_and_bias: bool = Field(
        True,
        description="apply weight decay to biases and normalization layers too, as PyTorch does",
    )


class ScheduleOptions(Section):
    """The learning rate schedule."""

    kind: Literal["warm_restarts", "cosine"] = Field(
        "cosine",
        description="one cosine, updated every step, or cosine with warm restarts, updated every "
        "epoch",
    )
    first_cycle: Count = Field(10, description="warm_restarts: epochs of the first cycle")
    cycle_mult: Count = Field(
        2,
        description="warm_restarts: length of each cycle as a multiple of the cycle before",
    )
    warmup: Share = Field(
        0.0,
        description="cosine: share of the steps in which the learning rate rises from 0",
    )
