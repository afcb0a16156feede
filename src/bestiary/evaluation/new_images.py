"""A run and the images that a user names -> the logits of those that it was not trained on."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from bestiary.data.left_out import count_files
from bestiary.data.listing import list_images
from bestiary.display import Display
from bestiary.ensemble.caveats import TrainedFiles
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.unseen import Logits, member_logits
from bestiary.run.run import Run


@dataclass(frozen=True, slots=True)
class NewImages:
    """Images that could be read and that a run was not trained on.

    Attributes:
        paths: as they are listed.
        logits: of these images by all members (members, images, classes).
        trained: images that were left out, since the run was trained on them.
    """

    paths: pl.Series
    logits: Logits
    trained: int


def read_new_images(
    run: Run, ensemble: Ensemble, images: Sequence[Path], display: Display
) -> NewImages:
    """List images, and compute the logits of the new ones.

    Args:
        run: a run whose folds have ended.
        ensemble: of the run.
        images: folder, table or images.
        display: shows the progress, and what is left out.

    Returns:
        The new images.

    Raises:
        DataError: no image is new, or none can be read.
    """
    listing = list_images(images)
    reasons = [reason for _, reason in listing.unusable]
    counted = count_files({"images": listing.table.height}, reasons, listing.ignored)
    for line in [*listing.notes, *counted]:
        display.notice(line)

    trained = TrainedFiles.of(run)
    is_trained = [listing.root / path in trained for path in listing.table["path"]]
    new = listing.table.filter(~pl.Series(is_trained, dtype=pl.Boolean))
    if new.is_empty():
        raise DataError(
            f"{images[0]}: no image is new and can be read; name images that the run was not "
            "trained on"
        )
    logits, unread = member_logits(ensemble, listing.root, new, display)
    rows = [row for row in range(new.height) if row not in unread]
    return NewImages(new["path"][rows], logits, sum(is_trained))
