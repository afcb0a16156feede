"""The verb `shard`: images -> tar shards in WebDataset's layout."""

from typing import TYPE_CHECKING

from bestiary.api.arguments import Location

if TYPE_CHECKING:
    from bestiary.data.sharding import ShardSummary


def shard(
    data: Location, out: Location, /, *, megabytes: int = 256, quiet: bool = False
) -> "ShardSummary":
    """Write images as tar shards (WebDataset's layout), for data larger than the disk.

    train, scan and shard take the folder of shards as DATA. They read a shard from
    beginning to end and keep a bounded number of them on the disk. Exit status: 0, or
    1 if some images cannot be read; these are left out.

    Parameters
    ----------
    data
        Folder of class folders, or a table, as for train; or the address of one, such as
        s3://bucket/images.
    out
        Folder or address for the shards and their index. There must be none yet.
    megabytes
        Size of a shard.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> print(bestiary.shard("images", "shards", quiet=True))
    36 images in 1 shards in shards
    """
    from bestiary.data.listing import list_labeled, list_test
    from bestiary.data.sharding import write_shards
    from bestiary.display import Display
    from bestiary.errors import ArgumentError

    if megabytes < 1:
        raise ArgumentError(f"--megabytes {megabytes}: give 1 or more")
    listing = list_labeled(data).with_test(list_test(data))
    return write_shards(listing, out, megabytes, Display(quiet))
