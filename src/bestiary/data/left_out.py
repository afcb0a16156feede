"""What a listing or a manifest leaves out -> lines that name and count it, the same for every verb.

Every file of a dataset is an image, unusable, or ignored for a reason; the counts add up to the
number of files. Knows nothing of how files are read.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from bestiary.data.bit_depth import WhiteLevel
from bestiary.data.folder_layout import MAX_NAMES
from bestiary.data.manifest import Manifest
from bestiary.data.quality_warnings import MIN_RANGE_USED
from bestiary.numbers import counted

MAX_REASONS = 3  # kinds of reasons that a line names


def describe_left_out(
    manifest: Manifest, n_test: int = 0, run_white: WhiteLevel | None = None
) -> list[str]:
    """Describe what is not among the images of a dataset, and what was assumed of them.

    Args:
        manifest: The images, with the quarantine of all splits.
        n_test: Number of images of the test split, which are not in the manifest's table.
        run_white: Value of white that a run was trained with, which then holds for these images;
            None: they are to be trained on, and their own values decide.

    Returns:
        One line for each kind; none if everything is an image of 8 bits.
    """
    images = {"images": manifest.table.height}
    if n_test:
        images["of the test split"] = n_test
    lines = count_files(images, manifest.quarantine["reason"], manifest.ignored)
    if manifest.empty_classes:
        shown = list(manifest.empty_classes.items())[:MAX_NAMES]
        names = ", ".join(f"{label!r} ({reason})" for label, reason in shown)
        more = " ..." if len(manifest.empty_classes) > len(shown) else ""
        lines.append(
            f"No images: {counted(len(manifest.empty_classes), 'class', 'classes')}: {names}{more}"
        )
    if manifest.n_deep:
        deep_images = _deep_images(manifest.n_deep)
        if run_white is None:
            white = _describe_white(manifest.white)
            remedy = "(train takes --set view.white_level=N)"
            lines.append(f"{deep_images}; from the values of all, {white} {remedy}")
        else:
            lines.append(f"{deep_images}; as in training, {_describe_white(run_white)}")
    return lines


def describe_deep(max_values: Sequence[float], white: WhiteLevel) -> list[str]:
    """Describe what was assumed of white in images to predict.

    Args:
        max_values: Largest value of each image of more than 8 bits that does not say what white is,
            as a share of white.
        white: Value of white that the run was trained with.

    Returns:
        One line, a second one if images are nearly black; none if there is no such image.
    """
    if not max_values:
        return []
    lines = [f"{_deep_images(len(max_values))}; as in training, {_describe_white(white)}"]
    n_dark = sum(share < MIN_RANGE_USED for share in max_values)
    if n_dark:
        lines.append(
            f"Dark: {n_dark:,} of them use less than an eighth of that range; if they have fewer "
            f"bits, convert them to 8 bits"
        )
    return lines


def _deep_images(n_images: int) -> str:
    return f"More than 8 bits: {counted(n_images, 'image does', 'images do')} not say what white is"


def _describe_white(white: WhiteLevel) -> str:
    return f"it is {white.integers:g} in integers and {white.floats:g} in floats"


def count_files(
    images: Mapping[str, int], reasons: Iterable[str], ignored: Mapping[str, int]
) -> list[str]:
    """Add up the files of a folder.

    Args:
        images: Words -> number of images.
        reasons: Reason of each unusable image.
        ignored: Reason -> number of files.

    Returns:
        One line; none if every file is an image.

    Example:
        >>> count_files({"images": 3}, ["truncated"], {"hidden": 2})
        ['Files: 6 = 3 images + 1 unusable (1 truncated) + 2 ignored (2 hidden)']
    """
    reasons = list(reasons)
    terms = [
        counted(count, words.replace("images", "image", 1), words)
        for words, count in images.items()
    ]
    if reasons:
        terms.append(f"{len(reasons):,} unusable ({frequent_reasons(reasons)})")
    n_ignored = sum(ignored.values())
    if n_ignored:
        parts = ", ".join(f"{count:,} {reason}" for reason, count in ignored.items())
        terms.append(f"{n_ignored:,} ignored ({parts})")
    if len(terms) == len(images):
        return []
    total = sum(images.values()) + len(reasons) + n_ignored
    return [f"Files: {total:,} = {' + '.join(terms)}"]


def frequent_reasons(reasons: Iterable[str]) -> str:
    """Name the most frequent kinds of reasons with their counts.

    The kind is the text before a colon or parenthesis; semicolons separate reasons.

    Args:
        reasons: Reason of each image.
    """
    counts = Counter[str]()
    for reasons_of_image in reasons:
        for reason in reasons_of_image.split("; "):
            kind = reason.split(":")[0].split(" (")[0]
            counts[kind] += 1

    most_common = counts.most_common(MAX_REASONS)
    names = ", ".join(f"{count:,} {kind}" for kind, count in most_common)
    if len(counts) > MAX_REASONS:
        names += " ..."
    return names
