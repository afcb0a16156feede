"""Paths as a user's table has them -> paths relative to the folder that they start from, checked.

A table may come from a stranger, so no path may leave that folder. Looks at names, opens no file.
"""

import os
import posixpath
import unicodedata
from pathlib import Path, PurePosixPath

import polars as pl

from bestiary.data.table_values import plain_steps
from bestiary.errors import DataError
from bestiary.printable import shell_name
from bestiary.storage.files import Root
from bestiary.tables import UNSAFE_PATH

PARENT = r"(?:^|/)\.\.(?:/|$)"  # a step up in a path


def paths_below(place: str, paths: pl.Series, root: Root) -> pl.Series:
    """Write all paths relative to `root`, and refuse those that leave it.

    A stranger's table must not make bestiary read other files.

    Args:
        place: Name of the table, for errors.
        paths: As the table has them, with slashes of either kind.
        root: Folder that they start from.

    Returns:
        With forward slashes. On a disk, a backslash that belongs to the name of a file stays, and
        neither ``.`` nor ``..`` is left.

    Raises:
        DataError: A path leads out of it, or cannot be followed.
    """
    if isinstance(root, Path):
        paths = plain_steps(_turn_backslashes(paths, root))
        paths = _relative_to(_follow_parents(paths, root), root)
    else:
        paths = paths.str.replace_all("\\", "/", literal=True)
    is_unsafe = paths.str.contains(UNSAFE_PATH)
    unsafe = paths.filter(is_unsafe)
    if len(unsafe):
        raise DataError(f"{place}: path {unsafe[0]!r} {_why_unsafe(unsafe, root)}")
    if isinstance(root, Path):
        paths = _find_normal_forms(paths, root)
    return paths.alias("path")


def _turn_backslashes(paths: pl.Series, root: Path) -> pl.Series:
    """Turn the backslashes of Windows; where a name may have one, a file of that name keeps it."""
    if os.sep != "/":
        return paths.str.replace_all("\\", "/", literal=True)
    turned = {}
    for path in paths.filter(paths.str.contains("\\", literal=True)):
        if not os.path.lexists(root / path):
            turned[path] = path.replace("\\", "/")
    return paths.replace(turned) if turned else paths


def _follow_parents(paths: pl.Series, root: Path) -> pl.Series:
    """Follow each ``..`` inside the folder."""
    steps_up = paths.filter(paths.str.contains(PARENT))
    followed = {path: _without_parents(path, root) for path in steps_up}
    return paths.replace(followed) if followed else paths


def _without_parents(path: str, root: Path) -> str:
    """Follow each ``..`` of a path; where that leads out, or out of a link, it stays as it is.

    The folder above the target of a link is another one than that above the link.
    """
    folders: list[str] = []
    start = Path("/") if path.startswith("/") else root
    for part in path.strip("/").split("/"):
        if part != "..":
            folders.append(part)
        elif not folders or start.joinpath(*folders).is_symlink():
            return path
        else:
            folders.pop()
    if not folders:
        return path
    return ("/" if path.startswith("/") else "") + "/".join(folders)


def _why_unsafe(unsafe: pl.Series, root: Root) -> str:
    """Say what is wrong with the first of some paths, and what to write instead."""
    first = unsafe[0]
    if "\0" in first:
        return "has a null byte in it, as no file has; write the path without it"
    has_parent = ".." in first.split("/")
    if has_parent and posixpath.normpath(first).split("/")[0] not in ("", ".", ".."):
        where = "after a link" if isinstance(root, Path) else "which a store does not follow"
        return f"has .. in it, {where}; write the path without it"
    common = _folder_of_absolute(unsafe) or "FOLDER"
    return (
        f"leads out of {root}; use paths below it, or name the folder that they start from with "
        f"--set {shell_name(f'data.root={common}')}"
    )


def _relative_to(paths: pl.Series, root: Path) -> pl.Series:
    """Make absolute paths that lie below `root` relative to it."""
    is_absolute = paths.str.starts_with("/")
    if not is_absolute.any():
        return paths
    bases = {os.path.abspath(root), os.path.realpath(root)}
    return paths.map_elements(lambda path: _strip_base(path, bases), return_dtype=pl.String)


def _strip_base(path: str, bases: set[str]) -> str:
    if path.startswith("/") and ".." not in PurePosixPath(path).parts:
        for base in bases:
            below = os.path.relpath(path, base)
            if not below.startswith(".."):
                return below
    return path


def _folder_of_absolute(paths: pl.Series) -> str:
    """The deepest folder above some absolute paths; empty if they are not absolute."""
    names = paths.to_list()
    if not all(name.startswith("/") and ".." not in name for name in names):
        return ""
    folders = [os.path.dirname(name) for name in names]
    return str(os.path.commonpath(folders))


def _find_normal_forms(paths: pl.Series, root: Path) -> pl.Series:
    """Replace a path that is not there by its other Unicode form (NFC, NFD) if that one is."""
    found: dict[str, str] = {}
    for path in paths:
        if path.isascii() or os.path.lexists(root / path):
            continue
        for form in ("NFC", "NFD"):
            other = unicodedata.normalize(form, path)
            if os.path.lexists(root / other):
                found[path] = other
    return paths.replace(found) if found else paths
