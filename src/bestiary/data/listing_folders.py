"""A local folder -> its files, each as an image, an unusable image, or left out with a reason.

Reads the first bytes of files that are not named like images, and nothing else. Knows nothing of
tables and stores.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bestiary.data.file_kinds import HEAD_BYTES, FileKind, file_kind, suffix_of
from bestiary.data.folder_layout import label_paths, normalize_label
from bestiary.data.listing_types import (
    HIDDEN,
    NO_IMAGE,
    OWN_FILES,
    Listing,
    ListingRow,
    listing_table,
)
from bestiary.errors import DataError
from bestiary.recipe.choices import Layout
from bestiary.run.layout import MANIFEST, RECIPE
from bestiary.storage.files import Root

RUN_FILES = frozenset({RECIPE, MANIFEST})  # a folder that holds both is a run of bestiary
SYSTEM_NAMES = frozenset({"__MACOSX", "@eaDir", "$RECYCLE.BIN", "System Volume Information"})
MAX_SUFFIXES = 5  # of files that are not images, named in one line


@dataclass(frozen=True, slots=True)
class FoundFiles:
    """The files below a folder; each is counted once.

    Attributes:
        images: Paths of the images, sorted.
        unusable: Path and reason of each image that cannot be listed or read.
        ignored: Number of files left out, by reason.
        folders: Paths of the first and second folders that are not hidden, with or without files.
        n_linked_twice: Number of links to a folder that is listed already.
    """

    images: list[str]
    unusable: list[tuple[str, str]]
    ignored: dict[str, int]
    folders: set[str]
    n_linked_twice: int = 0

    @property
    def notes(self) -> list[str]:
        """What a user might not expect, in words."""
        if not self.n_linked_twice:
            return []
        return [f"Links: {self.n_linked_twice:,} lead to a folder that is listed already"]


def walk_images(folder: Path) -> Listing:
    """List the images of a folder and its subfolders; labels are null.

    The listing is empty if the folder has no images or does not exist.

    Args:
        folder: The folder.
    """
    found = find_files(folder)
    rows: list[ListingRow] = [(path, None, None, None) for path in found.images]
    return Listing(folder, listing_table(rows), found.ignored, found.unusable, found.notes)


def label_found(found: FoundFiles, root: Root, place: str, layout: Layout) -> Listing:
    """Label the images that were found in a folder by the layout of its folders.

    Args:
        found: The files below `root`.
        root: The folder.
        place: Its name, for errors.
        layout: How its folders are nested.

    Raises:
        DataError: The folders can be read in two ways, or hold no classes.
    """
    # Images that cannot be read take part in the layout: their folders exist.
    unusable = dict(found.unusable)
    paths = sorted({*found.images, *unusable})
    labeled = label_paths(place, paths, layout, found.folders)

    rows = [row for row in labeled.rows if row[0] not in unusable]
    classes = {label for _, label, _, _ in rows}
    labels = (label for _, label, _, _ in labeled.rows if label is not None)
    empty_classes = Counter(label for label in labels if label not in classes)
    for folder in labeled.empty_folders:
        label = normalize_label(folder.rpartition("/")[2])
        if label is not None and label not in classes:
            empty_classes[label] += 0
    unusable = labeled.misplaced | unusable
    return Listing(
        root=root,
        table=listing_table(rows),
        ignored=found.ignored,
        unusable=sorted(unusable.items()),
        notes=[*labeled.notes, *found.notes],
        empty_classes=dict(empty_classes),
    )


def find_files(folder: Path) -> FoundFiles:
    """Find the files in a folder and its subfolders. Links are followed, and loops are cut.

    Nothing is found if the folder does not exist.

    Args:
        folder: The folder.
    """
    sorter = FileSorter()
    for path, entry in _walk(folder, sorter):
        sorter.add(path, partial(_read_head, entry))
    return sorter.found()


class FileSorter:
    """Sorts files into images, unusable images and files that are left out.

    Attributes:
        n_linked_twice: Number of links to a folder that is listed already.
    """

    def __init__(self) -> None:
        self.n_linked_twice = 0
        self._own_folders: tuple[str, ...] = ()  # each with a slash at its end
        self._folders: set[str] = set()
        self._ignored = Counter[str]()
        self._images: list[str] = []
        self._unusable: list[tuple[str, str]] = []
        self._suffixes = Counter[str]()

    def add(self, path: str, read_head: Callable[[], bytes]) -> None:
        """Sort one file.

        Args:
            path: Path below the folder, with forward slashes.
            read_head: Reads its first bytes; may raise OSError.
        """
        if self._is_named_well(path):
            self._add_kind(path, file_kind(path, read_head))

    def add_unreadable(self, path: str, reason: str) -> None:
        """Add a file that cannot be opened. It is unusable if it is named like an image."""
        if self._is_named_well(path):
            kind = file_kind(path, bytes)
            self._add_kind(path, replace(kind, problem=reason))

    def add_folder(self, path: str, reason: str = "") -> None:
        """Add a folder.

        Args:
            path: Path below the top folder.
            reason: Why it cannot be read; empty if it can.
        """
        folders = path.split("/")
        if any(is_hidden(name) for name in folders) or path.startswith(self._own_folders):
            return
        for depth in (1, 2):
            self._folders.add("/".join(folders[:depth]))
        if reason:
            self._unusable.append((_printable(path), reason))

    def ignore_below(self, folder: str) -> None:
        """Ignore the files of a folder that bestiary has written; its path ends with a slash."""
        self._own_folders += (folder,)

    def found(self) -> FoundFiles:
        """Return all files that were added."""
        ignored = dict(self._ignored)
        n_others = sum(self._suffixes.values())
        if n_others:
            ignored[f"{NO_IMAGE} ({_frequent(self._suffixes)})"] = n_others
        folders = {path for path in self._folders if not f"{path}/".startswith(self._own_folders)}
        return FoundFiles(
            images=sorted(self._images),
            unusable=sorted(self._unusable),
            ignored=ignored,
            folders=folders,
            n_linked_twice=self.n_linked_twice,
        )

    def _is_named_well(self, path: str) -> bool:
        """Whether a path is visible and Unicode; other files are counted here."""
        if any(is_hidden(part) for part in path.split("/")):
            self._ignored[HIDDEN] += 1
            return False
        if path.startswith(self._own_folders):
            self._ignored[OWN_FILES] += 1
            return False
        if path.isascii() or path == _printable(path):
            return True
        self._unusable.append((_printable(path), "file name is not Unicode"))
        return False

    def _add_kind(self, path: str, kind: FileKind) -> None:
        if not kind.is_image:
            self._suffixes[_suffix_words(path)] += 1
        elif kind.problem:
            self._unusable.append((path, kind.problem))
        else:
            self._images.append(path)


def is_hidden(name: str) -> bool:
    """Whether a name is hidden, or one of those that systems leave in folders."""
    return name.startswith(".") or name in SYSTEM_NAMES


def _walk(top: Path, sorter: FileSorter) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Yield path and entry of each regular file below `top`; the sorter gets all the others.

    A folder that two class folders link to belongs to both. Inside one first folder, a folder that
    is linked twice is listed once; so loops end.
    """
    stack = [("", str(top), {os.path.realpath(top)})]
    while stack:
        prefix, folder, visited = stack.pop()
        entries = _read_entries(folder, prefix, sorter)
        names = {entry.name for entry in entries}
        if names >= RUN_FILES:
            if not prefix:
                raise DataError(f"{top}: is a run, not a folder of images; name the images")
            sorter.ignore_below(prefix)
        for entry in entries:
            path = f"{prefix}{entry.name}"
            problem = _entry_problem(entry)
            if problem:
                sorter.add_unreadable(path, problem)
            elif entry.is_file():
                yield path, entry
            else:
                sorter.add_folder(path)
                # Each first folder has its own record of what was visited.
                seen = visited if prefix else set(visited)
                if _visit(entry, seen):
                    stack.append((f"{path}/", entry.path, seen))
                else:
                    sorter.n_linked_twice += 1


def _read_entries(folder: str, prefix: str, sorter: FileSorter) -> list[os.DirEntry[str]]:
    """Read the entries of a folder; none if it cannot be read, which the sorter notes."""
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError as error:
        if prefix:
            reason = error.strerror or type(error).__name__
            sorter.add_folder(prefix.rstrip("/"), f"folder cannot be read ({reason})")
        return []


def _entry_problem(entry: os.DirEntry[str]) -> str:
    """Why an entry is neither a regular file nor a folder; empty if it is one of them."""
    try:
        if entry.is_file() or entry.is_dir():
            return ""
    except OSError as error:  # a link to itself, or into a folder that may not be entered
        return f"cannot be followed ({error.strerror or type(error).__name__})"
    return "broken link" if entry.is_symlink() else "not a regular file"


def _visit(folder: os.DirEntry[str], visited: set[str]) -> bool:
    """Note that a folder is visited; return whether it was not before."""
    real_path = os.path.realpath(folder.path)
    is_new = real_path not in visited
    visited.add(real_path)
    return is_new


def _read_head(entry: os.DirEntry[str]) -> bytes:
    with open(entry.path, "rb") as file:
        return file.read(HEAD_BYTES)


def _suffix_words(name: str) -> str:
    suffix = suffix_of(name)
    is_plain = re.fullmatch(r"\.[a-z0-9_]{1,8}", suffix)
    return suffix if is_plain else "no suffix"


def _frequent(suffixes: Counter[str]) -> str:
    """Name the most frequent suffixes with their counts."""
    ordered = sorted(suffixes.items(), key=lambda item: (-item[1], item[0]))
    text = ", ".join(f"{count:,} {suffix}" for suffix, count in ordered[:MAX_SUFFIXES])
    return f"{text}, ..." if len(ordered) > MAX_SUFFIXES else text


def _printable(path: str) -> str:
    """A path that can be written as UTF-8: bytes of another encoding are written as escapes."""
    return path.encode("utf-8", "backslashreplace").decode()
