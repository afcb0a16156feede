"""Paths of images in a folder -> label and split of each, by the way that the folders are nested.

Recognizes four layouts, refuses what can be read in two ways, and says what it took for what. Works
on paths alone, so a local folder and a store are read alike. Opens no file.
"""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field

from bestiary.data.listing_types import ListingRow
from bestiary.data.split_words import TEST, TRAIN, VAL, is_part_name, splits_of_folders
from bestiary.errors import DataError
from bestiary.recipe.choices import FolderLayout, Layout

SHARED_NAMES = 0.5  # share of second folders in several first ones that makes a layout ambiguous
MAX_NAMES = 4  # folders that a line names
NO_CLASS_FOLDER = "in no class folder"

INNER_CLASSES = ("split/class", "part/class")  # layouts whose second folder is the class

Parts = tuple[str, ...]  # a path's folders and file name


@dataclass(slots=True)
class _Folder:
    """A first folder: how many images lie directly in it, and in each of its folders."""

    loose: int = 0
    folders: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True, slots=True)
class LabeledPaths:
    """The images of a folder with labels and splits.

    Attributes:
        rows: One row for each image that has a place in the layout. Labels are null for images that
            lie directly in a test folder.
        misplaced: Path -> reason, of the images that have no place in it.
        notes: What was taken for what, in words.
        empty_folders: Folders in the place of a class folder that have no image.
    """

    rows: list[ListingRow]
    misplaced: dict[str, str]
    notes: list[str]
    empty_folders: list[str]


def label_paths(
    place: str,
    paths: Sequence[str],
    layout: Layout = "auto",
    folders: Collection[str] = (),
) -> LabeledPaths:
    """Read label and split of each image from its path.

    Args:
        place: Name of the folder, for errors.
        paths: Paths of its images, with forward slashes.
        layout: How the folders are nested; auto: recognized.
        folders: Paths of the first and second folders, with or without images.

    Raises:
        DataError: The folders can be read in two ways, or hold no classes.
    """
    split_paths = [tuple(path.split("/")) for path in paths]
    tree = _first_folders(split_paths)
    chosen = _recognize(place, tree) if layout == "auto" else layout
    place_of = _READERS[chosen](tree)

    rows: list[ListingRow] = []
    misplaced: dict[str, str] = {}
    for path, parts in zip(paths, split_paths, strict=True):
        placed = place_of(parts)
        if isinstance(placed, str):
            misplaced[path] = placed
        else:
            label, split = placed
            rows.append((path, normalize_label(label), None, split))

    notes = _describe(chosen, tree)
    if chosen == "split/class":
        notes += _compare_splits(place, rows)
    notes += _merged_names(tree, chosen)
    empty = _empty_class_folders(tree, folders, chosen)
    return LabeledPaths(rows, misplaced, notes, empty)


def normalize_label(label: str | None) -> str | None:
    r"""Write a class name in Unicode's composed form (NFC), without spaces around it.

    One name can be stored in two forms that look the same; macOS writes the decomposed one.

    Example:
        >>> normalize_label("Cafe\u0301 ") == "Caf\u00e9"
        True
    """
    return None if label is None else unicodedata.normalize("NFC", label).strip()


def quote_names(names: Iterable[str], sign: str = "") -> str:
    """List the first of some names.

    Args:
        names: Names of folders or classes.
        sign: Put behind each.
    """
    listed = sorted(names)
    text = ", ".join(f"{name}{sign}" for name in listed[:MAX_NAMES])
    # The dots stay on the line of the last name.
    return f"{text}\xa0..." if len(listed) > MAX_NAMES else text


def _first_folders(paths: Iterable[Parts]) -> dict[str, _Folder]:
    """Count the images of each first folder, directly in it and in each of its folders."""
    folders: dict[str, _Folder] = defaultdict(_Folder)
    for parts in paths:
        if len(parts) == 2:
            folders[parts[0]].loose += 1
        elif len(parts) > 2:
            folders[parts[0]].folders[parts[1]] += 1
    return dict(folders)


def _inner_names(folders: dict[str, _Folder], names: Iterable[str]) -> set[str]:
    """The names of the folders inside some first folders."""
    return {inner for name in names for inner in folders[name].folders}


def _recognize(place: str, folders: dict[str, _Folder]) -> FolderLayout:
    """Choose the layout that first and second folders speak for; refuse what speaks for two."""
    if not folders:
        return "class"
    splits = splits_of_folders(folders)
    named = [name for name, split in splits.items() if split]
    if len(named) == len(folders):
        return _check_has_classes(place, folders, "split/class")
    if named:
        _check_split_named_classes(place, folders, splits)
        return "class"

    # Folders such as cat/train and cat/test: the second one is a split.
    by_split = [name for name, folder in folders.items() if _holds_splits(folder)]
    only_splits = [name for name in by_split if not folders[name].loose]
    if len(only_splits) == len(folders):
        return "class/split"
    if any(_holds_test(folders[name]) for name in by_split):
        raise _ambiguous(place, folders, "class/split", by_split)

    if len(folders) > 1 and all(is_part_name(name) for name in folders):
        return _check_has_classes(place, folders, "part/class")
    if _share_names(folders):
        raise _ambiguous(place, folders, "part/class", list(folders))
    return "class"


def _check_has_classes(
    place: str, folders: dict[str, _Folder], layout: FolderLayout
) -> FolderLayout:
    """Check that folders that are named like splits or parts hold class folders."""
    if any(folder.folders for folder in folders.values()):
        return layout
    names = quote_names(folders, "/")
    raise DataError(
        f"{place}: {names} are named like parts of one dataset, but hold images and no class "
        f"folders; expected {place}/{next(iter(folders))}/<class>/<image>, or a table of labels; "
        f"if these are the classes, add --set data.layout=class"
    )


def _check_split_named_classes(
    place: str, folders: dict[str, _Folder], splits: dict[str, str | None]
) -> None:
    """Refuse class folders of which some may be splits: train/, test/ and extra/."""
    named = [name for name, split in splits.items() if split]
    others = [name for name, split in splits.items() if not split]
    kinds = {splits[name] for name in named}
    has_classes = any(len(folders[name].folders) > 1 for name in named)
    others_have_folders = any(folders[name].folders for name in others)

    second = _inner_names(folders, named)
    shared = second.intersection(*(set(folders[name].folders) for name in others))
    is_ambiguous = (
        (len(kinds) > 1 and TRAIN in kinds)
        or (has_classes and not others_have_folders)
        or (has_classes and bool(shared))
    )
    if is_ambiguous:
        raise _ambiguous(place, folders, "split/class", named)


def _holds_splits(folder: _Folder) -> bool:
    """Whether the folders inside are named like splits, all of them or both training and test."""
    splits = splits_of_folders(folder.folders).values()
    if not splits:
        return False
    return all(splits) or {TRAIN, TEST} <= set(splits)


def _holds_test(folder: _Folder) -> bool:
    splits = set(splits_of_folders(folder.folders).values())
    return bool(splits - {TRAIN, None})


def _share_names(folders: dict[str, _Folder]) -> bool:
    """Whether the first folders look like parts: no loose images, and many names in common."""
    if len(folders) < 2 or any(folder.loose for folder in folders.values()):
        return False
    counts = Counter[str]()
    for folder in folders.values():
        counts.update({name.casefold() for name in folder.folders})
    shared = [name for name, count in counts.items() if count > 1]
    return len(counts) > 1 and len(shared) >= SHARED_NAMES * len(counts)


def _ambiguous(
    place: str, folders: dict[str, _Folder], other: FolderLayout, names: Sequence[str]
) -> DataError:
    """Name the two readings of a folder and the option that chooses one."""
    inner = quote_names(_inner_names(folders, names), "/")
    outer = quote_names(folders, "/")
    if other == "class/split":
        reading = f"or {quote_names(names, '/')} of parts {inner}"
    elif other == "part/class":
        reading = f"or parts {outer} with the classes {inner or 'none'}"
    else:
        reading = f"or {quote_names(names, '/')} as splits, with the classes {inner or 'none'}"
    return DataError(
        f"{place}: can be read in two ways: classes {outer} (--set data.layout=class), {reading} "
        f"(--set data.layout={other}); choose one"
    )


def _read_class(folders: dict[str, _Folder]) -> "_Reader":
    def read(parts: Parts) -> tuple[str | None, str | None] | str:
        return (parts[0], None) if len(parts) > 1 else NO_CLASS_FOLDER

    return read


def _read_split_class(folders: dict[str, _Folder]) -> "_Reader":
    splits = splits_of_folders(folders)

    def read(parts: Parts) -> tuple[str | None, str | None] | str:
        if len(parts) < 2:
            return NO_CLASS_FOLDER
        split = splits[parts[0]]
        if split is None:
            return f"in {parts[0]}/, which is no split"
        if len(parts) > 2:
            return parts[1], split
        return (None, split) if split == TEST else NO_CLASS_FOLDER

    return read


def _read_class_split(folders: dict[str, _Folder]) -> "_Reader":
    splits = {name: splits_of_folders(folder.folders) for name, folder in folders.items()}

    def read(parts: Parts) -> tuple[str | None, str | None] | str:
        if len(parts) < 2:
            return NO_CLASS_FOLDER
        if len(parts) == 2:
            return parts[0], None
        split = splits[parts[0]][parts[1]]
        return f"in {parts[1]}/, which is no split" if split is None else (parts[0], split)

    return read


def _read_part_class(folders: dict[str, _Folder]) -> "_Reader":
    def read(parts: Parts) -> tuple[str | None, str | None] | str:
        return (parts[1], None) if len(parts) > 2 else NO_CLASS_FOLDER

    return read


_Reader = Callable[[Parts], tuple[str | None, str | None] | str]
"""Label and split of a path, or the reason why it has no place in the layout."""

_READERS: dict[FolderLayout, Callable[[dict[str, _Folder]], _Reader]] = {
    "class": _read_class,
    "split/class": _read_split_class,
    "class/split": _read_class_split,
    "part/class": _read_part_class,
}


def _empty_class_folders(
    tree: dict[str, _Folder], folders: Iterable[str], layout: FolderLayout
) -> list[str]:
    """List the folders at the depth of class folders below which no image lies."""
    n_slashes = int(layout in INNER_CLASSES)
    with_images = set(tree)
    if n_slashes:
        with_images = {f"{name}/{inner}" for name in tree for inner in tree[name].folders}
    class_folders = {folder for folder in folders if folder.count("/") == n_slashes}
    return sorted(class_folders - with_images)


def _describe(layout: FolderLayout, folders: dict[str, _Folder]) -> list[str]:
    """Say what the first and second folders were taken for."""
    if not folders:
        return []
    if layout == "split/class":
        return [f"Layout: {_describe_splits(splits_of_folders(folders))}; classes are inside"]
    if layout == "class/split":
        second = _inner_names(folders, folders)
        return [
            f"Layout: classes {quote_names(folders, '/')}; inside, "
            f"{_describe_splits(splits_of_folders(second))}"
        ]
    if layout == "part/class":
        return [
            f"Layout: {quote_names(folders, '/')} are parts of one dataset, with the classes "
            f"inside; their numbers are not used as folds (for that, see --folds FILE)"
        ]
    return [f"Layout: each folder is a class: {quote_names(folders, '/')}"]


def _describe_splits(splits: dict[str, str | None]) -> str:
    """Say which folders are pooled, which is left out, and which is no split."""
    of_split: dict[str | None, list[str]] = defaultdict(list)
    for name, split in sorted(splits.items()):
        of_split[split].append(f"{name}/")
    pooled = [*of_split.pop(TRAIN, []), *of_split.pop(VAL, [])]
    tests = of_split.pop(TEST, [])
    others = sorted(name for names in of_split.values() for name in names)
    texts = []
    if len(pooled) > 1:
        texts.append(f"{' and '.join(pooled)} are pooled and dealt into folds")
    elif pooled:
        texts.append(f"{pooled[0]} is dealt into folds")
    if tests:
        texts.append(f"{' and '.join(tests)} is left out of training, for bestiary evaluate")
    if others:
        texts.append(f"{', '.join(others)} is no split and not used")
    return "; ".join(texts)


def _compare_splits(place: str, rows: Iterable[ListingRow]) -> list[str]:
    """Say which classes only some splits have; refuse splits that have none in common."""
    classes: dict[str, set[str]] = defaultdict(set)
    for _, label, _, split in rows:
        if label is not None and split is not None:
            classes[split].add(label)

    trained = classes.get(TRAIN, set())
    lines = []
    for split, labels in sorted(classes.items()):
        foreign = labels - trained
        if not trained or not foreign:
            continue
        names = quote_names(foreign, "/")
        if foreign == labels and split != TEST:
            raise DataError(
                f"{place}: the {split} folder holds {names}, and none of the classes of the "
                f"training folder; give it the same class folders, or move it away"
            )
        lines.append(f"Classes: {names} of the {split} split are not in the training split")
    return lines


def _merged_names(folders: dict[str, _Folder], layout: FolderLayout) -> list[str]:
    """Say which folders have the same name once it is normalized, and so are one class."""
    names = _inner_names(folders, folders) if layout in INNER_CLASSES else set(folders)
    by_label: dict[str | None, list[str]] = defaultdict(list)
    for name in sorted(names):
        by_label[normalize_label(name)].append(name)
    merged = [label for label, same in by_label.items() if len(same) > 1]
    if not merged:
        return []
    shown = quote_names(str(label) for label in merged)
    return [f"Classes: folders whose names look the same are one class: {shown}"]
