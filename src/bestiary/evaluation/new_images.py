"""A run and the images that a user names -> the logits of those that it was not trained on.

And their groups: images of one burst, of one event or of equal bytes are one piece of evidence.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from bestiary.data.eval_view import white_of
from bestiary.data.events import join_events
from bestiary.data.folds import join_groups
from bestiary.data.image_info_cache import open_cache
from bestiary.data.left_out import describe_left_out
from bestiary.data.listing import DEFAULT_OPTIONS, group_by_path, list_images
from bestiary.data.listing_types import Listing
from bestiary.data.manifest import Manifest, read_listing
from bestiary.data.scenes import find_scenes, join_scenes
from bestiary.display import Display
from bestiary.ensemble.caveats import TrainedFiles
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import DataError
from bestiary.evaluation.unseen import Logits, member_logits
from bestiary.printable import place_name
from bestiary.recipe.sections import DataOptions
from bestiary.run.layout import MANIFEST
from bestiary.run.run import Run
from bestiary.storage.files import Root

Labels = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class NewImages:
    """Images that could be read and that a run was not trained on.

    Attributes:
        table: columns of a manifest.
        root: folder that the paths start from.
        logits: of these images by all members (members, images, classes).
        groups: group number of each image (images,): by the recipe's pattern, bursts, events, and
            equal bytes.
        trained: images that were left out, since the run was trained on them.
        unread: images that could not be read.
    """

    table: pl.DataFrame
    root: Root
    logits: Logits
    groups: Labels
    trained: int
    unread: int

    @property
    def paths(self) -> pl.Series:
        """Paths as they are listed."""
        return self.table["path"]

    @property
    def n_groups(self) -> int:
        """Number of groups."""
        return len(np.unique(self.groups))


def read_new_images(
    run: Run,
    ensemble: Ensemble,
    images: Sequence[Path],
    display: Display,
    options: DataOptions = DEFAULT_OPTIONS,
) -> NewImages:
    """Read images, and compute the logits of the new ones.

    Args:
        run: a run whose folds have ended.
        ensemble: of the run.
        images: folders, tables or images.
        display: shows the progress, and what is left out.
        options: `root` of a table's paths.

    Returns:
        The new images.

    Raises:
        DataError: no image is new, or none can be read.
    """
    read = _read_images(run, images, options, display)
    is_trained = read.table["sha256"].is_in(run.read_table(MANIFEST)["sha256"].implode())
    new = read.table.filter(~is_trained)
    place = place_name(images[0])
    if read.table.is_empty():
        raise DataError(f"{place}: none of the images can be read; name others")
    if new.is_empty():
        raise DataError(f"{place}: the run was trained on all of these images; name new ones")
    logits, reasons = member_logits(ensemble, read.root, new, display)
    readable = new.filter(~pl.int_range(new.height, eager=True).is_in(list(reasons)))
    return NewImages(
        table=readable,
        root=read.root,
        logits=logits,
        groups=np.asarray(join_groups(readable["group"], readable["sha256"])),
        trained=int(is_trained.sum()),
        unread=len(reasons) + read.quarantine.height,
    )


def _read_images(
    run: Run, images: Sequence[Path], options: DataOptions, display: Display
) -> Manifest:
    """Read the images, with the groups that the run's recipe finds: a pattern, bursts, events."""
    recipe = run.read_recipe()
    listing = _with_pattern(list_images(images, options), recipe.data.group_pattern, display)
    for note in [*listing.notes, TrainedFiles.of(run).describe_boxes(listing.root)]:
        if note:
            display.notice(note)
    cache = open_cache(display)
    with display.counter("Reading images") as tick:
        read = read_listing(listing, tick, cache)
    for line in describe_left_out(read, run_white=white_of(recipe.view)):
        display.notice(line)
    scenes = find_scenes(read.table, cache, recipe.data.burst_seconds)
    table = join_events(join_scenes(read.table, scenes), recipe.data.event_seconds)
    return replace(read, table=table)


def _with_pattern(listing: Listing, pattern: str, display: Display) -> Listing:
    if not pattern:
        return listing
    try:
        return group_by_path(listing, pattern)
    except DataError:
        display.notice(
            f"The run's groups ({pattern}) are not in the paths of these images: each image or "
            "burst counts for itself, and intervals may be too narrow"
        )
        return listing
