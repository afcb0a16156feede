"""The scores in metrics.json -> checked, and the accuracy in words.

A run may come from a stranger, and its scores are printed and compared. Computes no score.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from bestiary.errors import DamagedError

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**12)]
MAX_KEY_LENGTH = 60  # characters of a wrong key that an error quotes


class _Entry(BaseModel):
    """Required keys and their types. Further keys are allowed."""

    model_config = ConfigDict(strict=True, allow_inf_nan=False)


class _Score(_Entry):
    value: Share
    low: Share
    high: Share
    n: Count
    groups: Count


class _Estimate(_Entry):
    value: Share
    low: Share
    high: Share
    effective: float = Field(gt=0, le=1e12)
    method: str = Field(max_length=1000)


class _OutOfFold(_Entry):
    accuracy: _Score
    ensemble: _Estimate | None = None


class _Metrics(_Entry):
    oof: _OutOfFold


def check_metrics(file: Path, content: dict[str, Any]) -> None:
    """Check the scores that are read from metrics.json.

    Args:
        file: metrics.json, for the error.
        content: of the file.

    Raises:
        DamagedError: a score is missing or cannot be one.
    """
    try:
        _Metrics.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        key = ".".join(str(step) for step in first["loc"])
        reason = f"{key[:MAX_KEY_LENGTH]}: {first['msg']}"
        raise DamagedError.foreign(file, reason, "write it again with --resume") from None


def accuracy_line(score: dict[str, Any]) -> str:
    """Put an accuracy of metrics.json into words: value, interval, numbers of images and groups."""
    groups = "" if score["groups"] == score["n"] else f", {score['groups']:,} groups"
    return (
        f"Out-of-fold accuracy {score['value']:.4f}, "
        f"95 % interval {score['low']:.4f} to {score['high']:.4f} "
        f"({score['n']:,} images{groups})"
    )
