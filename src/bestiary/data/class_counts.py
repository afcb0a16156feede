"""Labels -> images per class, and what is odd: small classes, imbalance, similar class names."""

import re
import unicodedata

import polars as pl

from bestiary.data.natural_order import natural_key

SMALL_CLASS_IMAGES = 10  # with fewer, five folds hold out one image each, and scores say little
SET_SEPARATOR = "|"  # of the classes of a prediction set in tables, and often of several labels
HIGH_IMBALANCE = 20.0  # largest over smallest class; accuracy then mostly measures the large ones


def count_classes(labels: pl.Series) -> pl.DataFrame:
    """Count the images of each class.

    Args:
        labels: Class of each image.

    Returns:
        One row per class in natural order. Columns: label, images, and similar_names: the classes
        whose names differ in case, spaces or width only, joined by commas, or null.
    """
    counts = dict(labels.value_counts().iter_rows())
    names = sorted(counts, key=natural_key)
    names_of_plain: dict[str, list[str]] = {}
    for name in names:
        same_plain = names_of_plain.setdefault(_plain(name), [])
        same_plain.append(name)

    rows = []
    for name in names:
        same_plain = names_of_plain[_plain(name)]
        similar = [other for other in same_plain if other != name]
        similar_names = ", ".join(similar) or None
        rows.append((name, counts[name], similar_names))

    schema = {
        "label": pl.String,
        "images": pl.Int64,
        "similar_names": pl.String,
    }
    return pl.DataFrame(rows, schema=schema, orient="row")


def class_lines(classes: pl.DataFrame) -> list[str]:
    """Describe what is odd about the classes, one line for each kind.

    Args:
        classes: Table as from `count_classes`.
    """
    lines = []
    is_small = pl.col("images") < SMALL_CLASS_IMAGES
    small = classes.filter(is_small)
    if small.height:
        label, count, _ = small.sort("images", maintain_order=True).row(0)
        have = "has" if small.height == 1 else "have"
        lines.append(
            f"Small classes: {small.height:,} {have} fewer than {SMALL_CLASS_IMAGES} images, "
            f"least {label!r} ({count})"
        )

    has_similar = pl.col("similar_names").is_not_null()
    similar = classes.filter(has_similar)
    if similar.height:
        label, _, others = similar.row(0)
        lines.append(
            f"Class names: {similar.height:,} differ from another in case, spaces or width only, "
            f"as {label!r} and {others!r}"
        )

    joined = classes.filter(pl.col("label").str.contains(SET_SEPARATOR, literal=True))
    if joined.height:
        hold = "holds" if joined.height == 1 else "hold"
        lines.append(
            f"Class names: {joined.height:,} {hold} {SET_SEPARATOR!r}, as {joined['label'][0]!r}; "
            f"each is one class here, and tables put {SET_SEPARATOR!r} between the classes of a "
            f"prediction set"
        )

    ratio = imbalance(classes)
    if ratio >= HIGH_IMBALANCE:
        lines.append(
            f"Imbalance: the largest class has {ratio:.0f} times the images of the smallest"
        )
    return lines


def imbalance(classes: pl.DataFrame) -> float:
    """Divide the images of the largest class by those of the smallest.

    Args:
        classes: Table as from `count_classes`.
    """
    largest = classes["images"].max()
    smallest = classes["images"].min()
    return float(largest) / float(smallest)  # type: ignore[arg-type]


def _plain(name: str) -> str:
    """The name without case, spaces, underscores, hyphens, widths and invisible characters."""
    compatible = unicodedata.normalize("NFKC", name)
    visible = "".join(sign for sign in compatible if unicodedata.category(sign) != "Cf")
    letters = re.sub(r"[\s_\-]+", "", visible)
    return letters.casefold()
