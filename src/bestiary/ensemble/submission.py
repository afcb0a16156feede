"""Rows of predictions -> a submission: image names, labels, and an archive to hand in.

The form is that of the course that recipe `paper` is from.
"""

import zipfile
from pathlib import Path

import polars as pl

from bestiary.atomic import atomic_path
from bestiary.ensemble.resumable_table import ResumableTable
from bestiary.errors import ArgumentError
from bestiary.numbers import counted


def write_submission(rows: ResumableTable) -> list[Path]:
    """Write a submission and its archive.

    Args:
        rows: of all images.

    Returns:
        The table, and solution.zip next to it.

    Raises:
        BestiaryError: a file cannot be written.
    """
    file_name = pl.col("path").str.split("/").list.last()
    stem = file_name.str.replace(r"\.[^.]*$", "")
    rows.write([stem.alias("image_name"), pl.col("label").alias("pred_label")])

    archive = rows.out.with_name("solution.zip")
    with (
        atomic_path(archive) as temporary,
        zipfile.ZipFile(temporary, "w", zipfile.ZIP_DEFLATED) as solution,
    ):
        solution.write(rows.out, "prediction.csv")
    return [rows.out, archive]


def check_names(paths: pl.Series) -> None:
    """Check that the images of a submission have different names without folder and suffix.

    Args:
        paths: of the images.

    Raises:
        ArgumentError: two images have one name.
    """
    first_of_name: dict[str, str] = {}
    clashes: list[tuple[str, str]] = []  # an image, and the first image of its name
    for path in paths:
        first = first_of_name.setdefault(Path(path).stem, path)
        if first != path:
            clashes.append((path, first))
    if clashes:
        path, first = clashes[0]
        raise ArgumentError(
            f"--format submission: {len(clashes):,} of {counted(len(paths), 'image')} have the "
            f"name of another, without folder and suffix (first {path}, of {first}); predict the "
            "folders one by one, rename the images, or use --format full"
        )
