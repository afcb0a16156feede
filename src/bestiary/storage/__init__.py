"""Places that fsspec knows (s3://, gs://, ...), tar shards and local folders, read and written alike."""

from bestiary.storage.files import Readable, Root, StoredFile, StoredFolder, address_of, is_address, location
from bestiary.storage.mirror import working_folder
from bestiary.storage.places import reading_order, root_at
from bestiary.storage.shards import ShardFolder

__all__ = [
    "Readable",
    "Root",
    "ShardFolder",
    "StoredFile",
    "StoredFolder",
    "address_of",
    "is_address",
    "location",
    "reading_order",
    "root_at",
    "working_folder",
]
