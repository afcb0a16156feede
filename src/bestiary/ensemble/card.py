"""ensemble.json -> checked, since a run may come from a stranger. Reads no weights."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bestiary.errors import RunError

MOST_CLASSES = 1_000_000


class _Part(BaseModel):
    """What must be there and of its kind; what else there is belongs to others."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _View(_Part):
    size: int = Field(ge=16, le=2048)  # as a recipe's view.size
    resize: Literal["squash", "crop"]
    crop: float = Field(gt=0, le=1)
    interpolation: Literal["bilinear", "bicubic"]


class _Member(_Part):
    fold: int = Field(ge=0, lt=100)


class _Card(_Part):
    classes: list[str] = Field(min_length=2, max_length=MOST_CLASSES)
    view: _View
    tta: Literal[1, 2, 5]
    average: Literal["logits", "probabilities", "vote"]
    precision: Literal["auto", "bf16", "fp16", "float32"]
    members: list[_Member] = Field(min_length=1, max_length=100)


def check_card(card: dict[str, Any], where: str) -> None:
    """Look whether `card` is an ensemble.json that can be worked with.

    Raises:
        RunError: it is not; `where` is named.
    """
    try:
        _Card.model_validate(card)
    except ValidationError as error:
        problem = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(part) for part in problem["loc"])[:60]
        raise RunError(
            f"{where}: ensemble.json is not of bestiary's making ({key}: {problem['msg']})"
        ) from None
