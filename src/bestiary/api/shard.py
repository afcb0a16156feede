"""TODO api.shard"""

from typing import TYPE_CHECKING

from bestiary.api.arguments import Place

if TYPE_CHECKING:
    from bestiary.data.sharding import ShardSummary


def shard(
    data: Place, out: Place, /, *, megabytes: int = 256, quiet: bool = False
) -> "ShardSummary":
    """Write images as tar shards (WebDataset's layout) that are read from beginning to end: for
    data beyond a disk.

    train, scan and shard take the folder of shards as DATA; a bounded number of shards is on the
    disk at a time. Exit status: 0, or 1 when there are images that cannot be read, which are left
    out.

    Parameters ---------- data Folder of class folders, or a table, as for train; or the address of
    one, such as s3://bucket/images. out Folder or address for the shards and their index, where
    there are none yet. megabytes Size of a shard. quiet Show no progress.
    """
    from bestiary.data.listing import list_labeled, list_test
    from bestiary.data.sharding import write_shards
    from bestiary.display import Display
    from bestiary.errors import ArgumentError

    if megabytes < 1:
        raise ArgumentError(f"--megabytes {megabytes}: give 1 or more")
    return write_shards(
        list_labeled(data).with_test(list_test(data)), out, megabytes, Display(quiet)
    )
