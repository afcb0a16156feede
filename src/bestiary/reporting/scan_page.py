"""Audit -> one self-contained HTML page that shows each finding with its images.

Leaks, label conflicts, near duplicates with what differs and how sure it is, bursts, quality
warnings, unusable files and class sizes. Finds nothing itself.
"""

from typing import Any

import polars as pl

from bestiary.data.audit import Audit
from bestiary.data.thumbnails import image_uri
from bestiary.reporting.render import render
from bestiary.storage.files import Root

MAX_ITEMS = 100  # groups or images shown of each kind; the CSV tables have all of them
MAX_GROUP_IMAGES = 8  # images shown of one group
MAX_GROUP_PAIRS = 12  # pairs named of one group

GroupPairs = dict[str, list[dict[str, Any]]]  # group -> rows of `Audit.pairs`

LEAKS = "Near duplicates on both sides of the test split: the test score is too high."
CONFLICTS = (
    "Near duplicates with different labels: trained on, "
    "but never scored until you settle the label."
)
NEAR_DUPLICATES = "Images that show the same; each group stays in one fold."
SAME_SCENES = "Bursts of one camera; each stays in one fold, and is scored like any other image."


def scan_page(audit: Audit) -> str:
    """Render the page of an audit.

    Args:
        audit: the findings.

    Returns:
        The page as HTML. An image that cannot be read is shown by name.
    """
    root = audit.manifest.root
    warnings = audit.warnings
    quarantine = audit.quarantine
    return render(
        "scan.html",
        root=root,
        images=audit.images.height,
        summary=[line.partition(": ")[::2] for line in audit.lines()],
        kinds=[
            *_near_duplicate_kinds(audit.near_duplicates, _pairs_by_group(audit.pairs), root),
            _scene_kind(audit, root),
        ],
        has_pairs=audit.pairs.height > 0,
        warnings=[
            {"path": path, "reason": reason, "image": image_uri(root / path)}
            for path, reason in warnings.head(MAX_ITEMS).iter_rows()
        ],
        more_warnings=max(0, warnings.height - MAX_ITEMS),
        unusable=quarantine.head(MAX_ITEMS).rows(),
        more_unusable=max(0, quarantine.height - MAX_ITEMS),
        classes=_class_rows(audit.classes),
    )


def _pairs_by_group(pairs: pl.DataFrame) -> GroupPairs:
    """Group -> its pairs, the least sure first: they are the most likely to be wrong."""
    by_group: GroupPairs = {}
    for pair in pairs.sort("probability", "path", "other").to_dicts():
        by_group.setdefault(pair["duplicate_group"], []).append(pair)
    return by_group


def _scene_kind(audit: Audit, root: Root) -> dict[str, Any]:
    """The bursts, as one more kind."""
    scenes = audit.scenes.rename({"scene": "duplicate_group"})
    images = audit.images.select("path", "label", "split")
    members = scenes.join(images, on="path").sort("duplicate_group", "path")
    return _kind("Same scene", SAME_SCENES, members, {}, root)


def _near_duplicate_kinds(
    duplicates: pl.DataFrame, pairs: GroupPairs, root: Root
) -> list[dict[str, Any]]:
    """Leaks first, then label conflicts, then the other groups; each group is in one kind."""
    leaking_groups = duplicates.filter("leak")["duplicate_group"].unique().to_list()
    leaks = pl.col("duplicate_group").is_in(leaking_groups)
    conflict = pl.col("label_conflict")
    return [
        _kind("Leaks", LEAKS, duplicates.filter(leaks), pairs, root),
        _kind("Label conflicts", CONFLICTS, duplicates.filter(~leaks & conflict), pairs, root),
        _kind(
            "Near duplicates",
            NEAR_DUPLICATES,
            duplicates.filter(~leaks & ~conflict),
            pairs,
            root,
        ),
    ]


def _kind(
    title: str, meaning: str, duplicates: pl.DataFrame, pairs: GroupPairs, root: Root
) -> dict[str, Any]:
    """What the template shows of one kind of near duplicates."""
    names = duplicates["duplicate_group"].unique(maintain_order=True)
    groups = []
    for name in names.head(MAX_ITEMS):
        members = duplicates.filter(duplicate_group=name)
        own_pairs = pairs.get(name, [])
        groups.append(
            {
                "images": _group_images(members.head(MAX_GROUP_IMAGES), root),
                "more": max(0, members.height - MAX_GROUP_IMAGES),
                "pairs": own_pairs[:MAX_GROUP_PAIRS],
                "more_pairs": max(0, len(own_pairs) - MAX_GROUP_PAIRS),
            }
        )
    return {
        "title": title,
        "meaning": meaning,
        "count": len(names),
        "groups": groups,
        "more": max(0, len(names) - MAX_ITEMS),
    }


def _group_images(members: pl.DataFrame, root: Root) -> list[dict[str, str]]:
    images = []
    for path, label, split in members.select("path", "label", "split").iter_rows():
        images.append(
            {
                "path": path,
                "label": label or "no label",
                "split": split or "",
                "image": image_uri(root / path),
            }
        )
    return images


def _class_rows(classes: pl.DataFrame) -> list[tuple[str, int, float, str | None]]:
    """Per class: label, images, percentage of the largest class, similar names."""
    largest = classes["images"].max()
    return [
        (label, count, 100 * count / largest, similar_names)
        for label, count, similar_names in classes.iter_rows()
    ]
