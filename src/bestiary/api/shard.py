"""The verb `shard`: images -> tar shards in WebDataset's layout."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.data.sharding import ShardSummary


@checked_arguments
def shard(
    data: Location,
    out: Location,
    /,
    *,
    megabytes: int = 256,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    quiet: bool = False,
) -> "ShardSummary":
    """Write images as tar shards (WebDataset), for very large data.

    train, scan and shard take the folder of shards as DATA. They read a shard from
    beginning to end and keep a bounded number of them on the disk. Exit status: 0, or
    1 if some files cannot be read or are no images; these are left out. Images are not
    decoded: bestiary scan OUT finds the damaged ones.

    Parameters
    ----------
    data
        Folder of class folders, or a table, as for train; or the address of one, such as
        s3://bucket/images.
    out
        Folder or address for the shards and their index. There must be none yet.
    megabytes
        Size of a shard.
    overrides
        How DATA is listed, as in train: data.root=FOLDER, the folder that the paths of a
        table start from, and data.layout=LAYOUT, how folders are nested.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> print(bestiary.shard("images", "shards", quiet=True))
    36 images in 1 shard in shards
    """
    from bestiary.api.output_folder import check_output_folder
    from bestiary.data.listing import list_labeled
    from bestiary.data.sharding import write_shards
    from bestiary.display import Display
    from bestiary.errors import ArgumentError
    from bestiary.recipe.load import load_data_options
    from bestiary.storage.files import is_address

    if megabytes < 1:
        raise ArgumentError(f"--megabytes {megabytes}: give 1 or more")
    if not is_address(out):
        check_output_folder("shard", Path(out))
    display = Display(quiet)
    listing = list_labeled(data, load_data_options(overrides))
    for note in listing.notes:
        display.line(note)
    return write_shards(listing, out, megabytes, display)
