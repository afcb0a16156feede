"""budget.json of a run: the ways that were tried within a time budget, and which was chosen.

The choice was made on the held-out images of some folds. These images are never scored, so that
the choice cannot flatter the score. A run may come from a stranger, so the file is checked.
"""

from typing import Annotated, Literal

from pydantic import Field, ValidationError

from bestiary.errors import DamagedError
from bestiary.run.checksums import is_listed, verify
from bestiary.run.json_files import JsonSection, first_problem, read_json_file
from bestiary.run.layout import BUDGET
from bestiary.run.run import Run

MAX_TRIALS = 100
MAX_TEXT_LENGTH = 2000  # characters
MAX_SECONDS = 1e9
Seconds = Annotated[float, Field(ge=0, le=MAX_SECONDS)]
Text = Annotated[str, Field(max_length=MAX_TEXT_LENGTH)]


class TrialRecord(JsonSection):
    """One way that was tried.

    Attributes:
        name: of the way, such as ``heads at 224 pixels``.
        epochs: of fine-tuning; 0: heads alone.
        size: side of a training view in pixels.
        images: scored held-out images.
        accuracy: on these, 0 to 1.
        log_loss: on these, at the temperature that suits them best.
        seconds: that the trial took.
    """

    name: Text
    epochs: Annotated[int, Field(ge=0, le=100_000)]
    size: Annotated[int, Field(ge=1, le=100_000)]
    images: Annotated[int, Field(ge=1, le=10**12)]
    accuracy: Annotated[float, Field(ge=0, le=1)]
    log_loss: Annotated[float, Field(ge=0, le=1e9)]
    seconds: Seconds


class BudgetRecord(JsonSection):
    """Content of budget.json.

    Attributes:
        version: of the file.
        seconds: the budget.
        spent: seconds until the choice was made.
        folds: folds whose held-out images the choice was made on; these are not scored.
        trials: the ways that were tried, in order.
        chosen: name of the way that was chosen.
        notes: what was not tried, and why.
    """

    version: Literal[1] = 1
    seconds: Seconds
    spent: Seconds
    folds: Annotated[list[Annotated[int, Field(ge=0, le=100)]], Field(max_length=100)]
    trials: Annotated[list[TrialRecord], Field(max_length=MAX_TRIALS)]
    chosen: Text
    notes: Annotated[list[Text], Field(max_length=MAX_TRIALS)]


def read_progress(run: Run) -> float:
    """Read the seconds that earlier sessions spent on trials; 0 before the first.

    Args:
        run: that has not begun.

    Raises:
        DamagedError: budget.json is not what bestiary writes.
    """
    file = run.file(BUDGET)
    if not file.exists():
        return 0.0
    return _parse(run).spent


def read_budget(run: Run) -> BudgetRecord | None:
    """Read budget.json; None if the run was trained without a budget.

    Args:
        run: any run.

    Raises:
        DamagedError: the file is missing though the run began with it, changed, or foreign.
    """
    file = run.file(BUDGET)
    verify(run.path, BUDGET)
    if file.exists():
        return _parse(run)
    if is_listed(run.path, BUDGET):
        raise DamagedError(f"{file}: is missing; put it back")
    return None


def _parse(run: Run) -> BudgetRecord:
    file = run.file(BUDGET)
    try:
        return BudgetRecord.model_validate(read_json_file(file))
    except ValidationError as error:
        raise DamagedError.foreign(file, first_problem(error)) from None
