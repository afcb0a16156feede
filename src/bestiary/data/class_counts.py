"""Labels -> what is odd about the classes: too few images, lopsided counts, names that may mean
one class.
"""

import re

import polars as pl

from bestiary.data.natural_order import natural_key

FEW = 10  # images of a class below which five folds hold out one each, and a score says little
LOPSIDED = (
    20.0  # largest class over smallest, from which plain accuracy mostly tells of the large ones
)


def count_classes(labels: pl.Series) -> pl.DataFrame:
    """One row a class in natural order: label, images, and twins, the classes named like it,
    null for none.
    """
    counts = dict(labels.value_counts().iter_rows())
    names = sorted(counts, key=natural_key)
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(_plain(name), []).append(name)
    rows = []
    for name in names:
        twins = [other for other in alike[_plain(name)] if other != name]
        rows.append((name, counts[name], ", ".join(twins) or None))
    return pl.DataFrame(
        rows,
        schema={"label": pl.String, "images": pl.Int64, "similar_names": pl.String},
        orient="row",
    )


def class_lines(classes: pl.DataFrame) -> list[str]:
    """What is odd about the classes, one line for each kind; `classes` as from `count_classes`."""
    lines = []
    few = classes.filter(pl.col("images") < FEW).sort("images", maintain_order=True)
    if few.height:
        label, count, _ = few.row(0)
        have = "has" if few.height == 1 else "have"
        lines.append(
            f"Small classes: {few.height:,} {have} fewer than {FEW} images, least {label!r} "
            f"({count})"
        )
    twins = classes.filter(pl.col("similar_names").is_not_null())
    if twins.height:
        label, _, others = twins.row(0)
        lines.append(
            f"Class names: {twins.height:,} differ from another in case or spaces only, as "
            f"{label!r} and {others!r}"
        )
    ratio = imbalance(classes)
    if ratio >= LOPSIDED:
        lines.append(
            f"Imbalance: the largest class has {ratio:.0f} times the images of the smallest"
        )
    return lines


def imbalance(classes: pl.DataFrame) -> float:
    """Images of the largest class over those of the smallest; `classes` as from `count_classes`."""
    return float(classes["images"].max()) / float(classes["images"].min())  # type: ignore[arg-type]


def _plain(name: str) -> str:
    """The name without case, spaces, underscores and hyphens."""
    return re.sub(r"[\s_\-]+", "", name).casefold()
