"""The heads that a run chose, one file a fold, and the sentence that says so.

Knows nothing of how a head is fitted or chosen.
"""

from collections import Counter
from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, ValidationError

from bestiary.atomic import write_text
from bestiary.errors import DamagedError
from bestiary.recipe.choices import HeadKind
from bestiary.run.json_files import JsonSection, first_problem, read_json_file
from bestiary.run.layout import FoldFiles
from bestiary.run.run import RunSnapshot

HEAD_NAMES: dict[HeadKind, str] = {
    "lda": "linear discriminant",
    "nearest_mean": "nearest class mean",
    "logistic": "logistic regression",
}
"""Kinds of heads, in words."""

Loss = Annotated[float, Field(ge=0, le=1e12)]
Share = Annotated[float, Field(ge=0, le=1)]


class HeadChoice(JsonSection):
    """The head of one fold.

    Attributes:
        kind: that was chosen.
        images: in the training part.
        log_loss: of each kind, cross-fitted inside the training part; empty if there were too many
            images for a choice.
        accuracy: the same way.
        unlabeled: number of unlabeled images that a discriminant then learned from too, starting
            from this head.
        refused: number of unlabeled images that would have raised the log loss.
    """

    kind: HeadKind
    images: int = Field(ge=0, le=10**12)
    log_loss: dict[HeadKind, Loss] = Field(default={}, max_length=len(HEAD_NAMES))
    accuracy: dict[HeadKind, Share] = Field(default={}, max_length=len(HEAD_NAMES))
    unlabeled: int = Field(default=0, ge=0, le=10**12)
    refused: int = Field(default=0, ge=0, le=10**12)


def write_head(files: FoldFiles, choice: HeadChoice) -> None:
    """Write the choice of a fold."""
    write_text(files.head, choice.model_dump_json(indent=2) + "\n")


def read_head(files: FoldFiles) -> HeadChoice | None:
    """Read the choice of a fold; None if there was none.

    Raises:
        DamagedError: the file is not what `write_head` writes.
    """
    try:
        content = read_json_file(files.head)
    except FileNotFoundError:
        return None
    try:
        return HeadChoice.model_validate(content)
    except ValidationError as error:
        raise DamagedError.foreign(files.head, first_problem(error), "remove it") from None


def heads_of_run(snapshot: RunSnapshot) -> str:
    """Say in a sentence which heads the folds of a run chose, see `heads_text`.

    No checksum covers the files, and the folder may come from a stranger.

    Args:
        snapshot: the run's starting files.

    Raises:
        DamagedError: the file of a fold is damaged, or is of another run.
    """
    choices = (_head_of_fold(snapshot, number) for number in snapshot.folds)
    return heads_text([choice for choice in choices if choice is not None])


def _head_of_fold(snapshot: RunSnapshot, number: int) -> HeadChoice | None:
    """Read the choice of a fold, and check that it can be of this run."""
    files = snapshot.run.fold(number)
    choice = read_head(files)
    if choice is None:
        return None
    images = int((snapshot.fold_table["fold"] != number).sum())
    reason = ""
    if not snapshot.recipe.model.fits_head:
        reason = "the recipe fits no head"
    elif choice.images != images:
        reason = f"it is of {choice.images:,} images, and the fold trained on {images:,}"
    if reason:
        raise DamagedError.foreign(files.head, reason, "it is another run's; remove it")
    return choice


def heads_text(choices: Sequence[HeadChoice]) -> str:
    """Say in a sentence which heads the folds of a run chose; nothing if they had no choice.

    Args:
        choices: of the folds that had one.
    """
    if not choices:
        return ""
    counts = Counter(HEAD_NAMES[choice.kind] for choice in choices)
    many = f"of {len(choices)} folds" if len(choices) > 1 else "fold"
    chosen = ", ".join(f"{name} in {count} {many}" for name, count in counts.most_common())
    how = "the least cross-validated log loss on the training images"
    if not any(choice.log_loss for choice in choices):
        how = "no other was tried"
    return f"Heads: {chosen} ({how}).{_unlabeled_text(choices)}"


def _unlabeled_text(choices: Sequence[HeadChoice]) -> str:
    """Say how many folds learned from how many unlabeled images; nothing if there are none."""
    images = max(max(choice.unlabeled, choice.refused) for choice in choices)
    if not images:
        return ""
    learned = sum(choice.unlabeled > 0 for choice in choices)
    return (
        f" {learned} of {len(choices)} heads then learned from {images:,} unlabeled images by soft "
        f"pseudo-labels; the others would have a higher cross-validated log loss with them."
        if learned < len(choices)
        else f" All then learned from {images:,} unlabeled images by soft pseudo-labels."
    )
