"""The folder that a verb writes several files into: refused where its name is that of a file."""

from pathlib import Path

from bestiary.errors import ArgumentError

FILE_SUFFIXES = (".csv", ".htm", ".html", ".json", ".md", ".parquet", ".pdf", ".tar", ".tex")
"""Suffixes of what bestiary writes into folders, or could be thought to."""


def check_output_folder(option: str, folder: Path, remedy: str = "") -> None:
    """Refuse a name that is meant as a file: a folder of this name would be made.

    Args:
        option: that names the folder, such as ``--out``.
        folder: to write into; one that exists may have any name.
        remedy: what else the option takes, if anything.

    Raises:
        ArgumentError: it is a file, or has the suffix of one.

    Example:
        >>> check_output_folder("--out", Path("pages/result.html"))
        Traceback (most recent call last):
        bestiary.errors.ArgumentError: --out pages/result.html: names a file, and several are \
written; name a folder, such as pages/result
    """
    if folder.is_file():
        raise ArgumentError(
            f"{option} {folder}: is a file, and several are written; name a folder{remedy}"
        )
    if folder.suffix.lower() in FILE_SUFFIXES and not folder.is_dir():
        raise ArgumentError(
            f"{option} {folder}: names a file, and several are written; name a folder, such as "
            f"{folder.with_suffix('')}{remedy}"
        )
