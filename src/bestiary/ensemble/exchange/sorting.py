"""Predictions -> a folder of folders by class and certainty, with a link or a copy of each image.

The originals are read and never changed. A folder looks like this::

    DIR/sure/Lynx lynx/site-1/IMG_0001.jpg      accepted
    DIR/not sure/Lynx lynx/...                  the most probable class of those that are not
    DIR/unknown/...                             unlike all that the run was trained on
    DIR/empty/...                               a detector has found nothing

An image with several boxes is in the folder of each answer, once.
"""

import os
import re
import shutil
from pathlib import Path

import polars as pl

from bestiary.ensemble.exchange.answers import BLANK, FAILED, UNCLASSIFIED, with_kind
from bestiary.errors import ArgumentError, BestiaryError
from bestiary.storage.boxes import BoxFolder
from bestiary.storage.files import Root

_UNSAFE = re.compile(r'[<>:"/\\|?*\x00-\x1f\x7f]')
MAX_NAME = 120  # bytes of the name of a class as a folder


def sort_images(
    folder: Path, predictions: pl.DataFrame, root: Root, *, copies: bool = False
) -> dict[str, int]:
    """Link or copy images into folders by class and certainty.

    Args:
        folder: New, or empty.
        predictions: As `predict` writes them.
        root: Folder on this machine that their paths start from.
        copies: Copy the files; otherwise they are linked.

    Returns:
        First folder (sure, not sure, unknown, empty) -> number of images.

    Raises:
        ArgumentError: The folder has files or lies in that of the images, or these are in a store.
        BestiaryError: It cannot be written.
    """
    source = check_sortable(folder, root)
    table = with_kind(predictions).filter(pl.col("kind") != FAILED)
    places = pl.DataFrame(
        [(row["file"], *_folders(row)) for row in table.iter_rows(named=True)],
        schema=["file", "certainty", "label"],
        orient="row",
    ).unique(maintain_order=True)
    try:
        for file, certainty, label in places.iter_rows():
            _place(source / file, folder.joinpath(certainty, label, file), copies=copies)
    except OSError as error:
        raise BestiaryError(
            f"--sort {folder}: cannot be written ({error.strerror}); free space, or choose another "
            f"folder"
        ) from None
    counts = places.group_by("certainty", maintain_order=True).agg(pl.col("file").n_unique())
    return dict(counts.iter_rows())


def check_sortable(folder: Path, root: Root) -> Path:
    """Check that images may be sorted into a folder.

    Args:
        folder: To sort into.
        root: Folder of the images.

    Returns:
        The folder of the images on this machine.

    Raises:
        ArgumentError: The folder has files or lies in that of the images, or these are in a store.
    """
    source = root.folder if isinstance(root, BoxFolder) else root
    if not isinstance(source, Path):
        raise ArgumentError("--sort: the images are in a store; fetch them, then predict the copy")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ArgumentError(f"--sort {folder}: is not empty; name a new folder")
    if folder.resolve().is_relative_to(source.resolve()):
        raise ArgumentError(
            f"--sort {folder}: lies in the folder of the images, where the next prediction would "
            f"find it; name another"
        )
    return source.resolve()


def _folders(row: dict[str, object]) -> tuple[str, str]:
    """Certainty and class of an answer, as names of folders."""
    if row["kind"] == BLANK:
        return "empty", ""
    if row["kind"] == UNCLASSIFIED and row.get("unknown"):
        return "unknown", ""
    certainty = "not sure" if row["kind"] == UNCLASSIFIED else "sure"
    return certainty, safe_name(str(row["label"]))


def safe_name(label: str) -> str:
    """The name of a class as that of a folder on any system.

    Example:
        >>> safe_name("cat/dog")
        'cat_dog'
    """
    name = _UNSAFE.sub("_", label).strip(" .")
    return name.encode()[:MAX_NAME].decode(errors="ignore") or "_"


def _place(source: Path, target: Path, *, copies: bool) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if copies:
        shutil.copy2(source, target)
    else:
        os.symlink(source, target)
