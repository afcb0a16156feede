"""The scores in metrics.json -> checked, and the accuracy in words.

A run may come from a stranger, and its scores are printed and compared. Computes no score.
"""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, ValidationError

from bestiary.errors import DamagedError
from bestiary.numbers import counted, percent, percent_range
from bestiary.run.json_files import JsonSection, first_problem

Share = Annotated[float, Field(ge=0, le=1)]
Count = Annotated[int, Field(ge=0, le=10**12)]


class _Score(JsonSection):
    value: Share
    low: Share
    high: Share
    n: Count
    groups: Count


class _Estimate(JsonSection):
    value: Share
    low: Share
    high: Share
    effective: float = Field(gt=0, le=1e12)
    method: str = Field(max_length=1000)


class _OutOfFold(JsonSection):
    accuracy: _Score
    ensemble: _Estimate | None = None


class _Metrics(JsonSection):
    oof: _OutOfFold


def check_scores(file: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Check the out-of-fold scores that are read from metrics.json.

    Args:
        file: metrics.json, for the error.
        content: of the file.

    Returns:
        The out-of-fold scores.

    Raises:
        DamagedError: a score is missing or cannot be one.
    """
    try:
        _Metrics.model_validate(content)
    except ValidationError as error:
        reason = first_problem(error)
        raise DamagedError.foreign(file, reason, "write it again with --resume") from None
    scores: dict[str, Any] = content["oof"]
    return scores


def accuracy_line(score: dict[str, Any]) -> str:
    """Put an accuracy of metrics.json into words: value, interval, numbers of images and groups."""
    groups = "" if score["groups"] == score["n"] else f" in {counted(score['groups'], 'group')}"
    return (
        f"Out-of-fold accuracy {percent(score['value'])} (95 % interval "
        f"{percent_range(score['low'], score['high'])}), {counted(score['n'], 'image')}{groups}"
    )
