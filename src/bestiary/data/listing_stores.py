"""An address in an object store, or a folder of shards -> the images there, with label and split.

Labels and splits come from a table, an index of shards, or the folders in the store. Knows nothing
of local folders of images.
"""

import tempfile
from functools import partial
from pathlib import Path

from bestiary.data.file_kinds import HEAD_BYTES
from bestiary.data.listing_folders import FileSorter, label_found
from bestiary.data.listing_tables import is_table, read_image_table
from bestiary.data.listing_types import LISTING_SCHEMA, DataPath, Listing
from bestiary.errors import DataError
from bestiary.recipe.sections import DataOptions
from bestiary.storage.files import StoredFile, StoredFolder, is_address, location
from bestiary.storage.roots import open_root
from bestiary.storage.shards import ShardFolder


def stored_root(data: DataPath, root: str = "") -> str:
    """Name the folder in a store that the paths of `data` start from.

    Args:
        data: Address of a folder or table.
        root: Folder that a table's paths start from; empty: the folder that holds the table.
    """
    if root:
        return location(root)
    if is_table(data):
        folder = str(data).rsplit("/", 1)[0]
        return location(folder)
    return location(data)


def list_stored(data: DataPath, options: DataOptions) -> Listing:
    """List the images of an address or of a folder of shards.

    Args:
        data: Address of a folder or table, or a folder of shards.
        options: Folder that a table's paths start from, and layout of the folders.

    Raises:
        DataError: The store cannot be read, or the table or folders cannot be used.
    """
    try:
        if is_address(data) and is_table(data):
            return _list_stored_table(str(data), options.root)
        return _list_stored_folder(data, options)
    except OSError as error:
        raise DataError(
            f"{data}: cannot be read ({error.strerror or error}); check the address and the access"
        ) from None


def _list_stored_table(address: str, root: str) -> Listing:
    """Download a table and read its rows."""
    content = StoredFile(address).read_bytes()
    name = address.rsplit("/", 1)[-1]
    folder = open_root(stored_root(address, root))
    with tempfile.TemporaryDirectory() as temporary:
        local_file = Path(temporary, name)
        local_file.write_bytes(content)
        return read_image_table(local_file, folder, name=address)


def _list_stored_folder(data: DataPath, options: DataOptions) -> Listing:
    """Read the rows of a folder of shards from its index, of another folder from its paths."""
    folder = open_root(data)
    if isinstance(folder, ShardFolder):
        images = folder.list_images()
        columns = list(LISTING_SCHEMA)
        return Listing(folder, images.select(columns))

    stored = StoredFolder(str(data))
    sorter = FileSorter()
    for path in stored.list_files():
        folder_of_file = path.rpartition("/")[0]
        if folder_of_file:
            sorter.add_folder(folder_of_file)
        read_head = partial((stored / path).read_head, HEAD_BYTES)
        sorter.add(path, read_head)
    return label_found(sorter.found(), folder, str(data), options.layout)
