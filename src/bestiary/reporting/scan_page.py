"""Audit -> one self-contained HTML page: verdicts, then each finding with its images.

Leaks, label conflicts, near duplicates with what differs and how sure it is, bursts, quality
warnings, unusable files, sizes and classes. Finds nothing itself.
"""

from typing import Any

import polars as pl

from bestiary.data.audit import Audit
from bestiary.data.thumbnails import image_uri
from bestiary.numbers import NO_BREAK, count
from bestiary.reporting.histogram import histogram, middle_half
from bestiary.reporting.render import render
from bestiary.reporting.scan_verdicts import Verdict, headline, scan_verdicts
from bestiary.reporting.shapes import shape_charts
from bestiary.storage.files import Root

MAX_ITEMS = 100  # groups or images shown of each kind; the CSV tables have all of them
MAX_GROUP_IMAGES = 8  # images shown of one group
MAX_GROUP_PAIRS = 12  # pairs named of one group
SHOWN_SIDE = 240  # pixels of the long side of a finding's images
STRIP_IMAGES = 5  # of each class
STRIP_SIDE = 96
MAX_STRIP_IMAGES = 400  # of all classes together

LEVELS = {"settle": "Settle", "look": "Look at", "fine": "Fine"}
LOOKED_FOR = {
    "leaks": "leaks into a test split",
    "label-conflicts": "copies with different labels",
    "near-duplicates": "copies",
    "unusable": "unusable files",
    "warnings": "odd images",
}

GroupPairs = dict[str, list[dict[str, Any]]]  # group -> rows of `Audit.pairs`

LEAKS = "Near duplicates on both sides of the test split: the test score is too high."
CONFLICTS = (
    "Near duplicates with different labels: trained on, "
    "but never scored until you settle the label."
)
NEAR_DUPLICATES = "Images of the same photograph; each group is trained on or judged together."
SAME_SCENES = (
    "Bursts of one camera; each is trained on or judged together, and scored like any other image."
)


def scan_page(audit: Audit, command: str) -> str:
    """Render the page of an audit.

    Args:
        audit: the findings.
        command: that trains a first classifier on these images.

    Returns:
        The page as HTML. An image that cannot be read is shown by name.
    """
    root = audit.manifest.root
    warnings = audit.warnings
    quarantine = audit.quarantine
    verdicts = scan_verdicts(audit)
    duplicates = audit.near_duplicates.join(
        audit.images.select("path", "height", "width"), on="path", maintain_order="left"
    )
    classes = _class_rows(audit, root)
    return render(
        "scan.html",
        root=root,
        images=audit.manifest.table.height,
        test=audit.test.height,
        headline=headline(verdicts),
        verdicts=verdicts,
        levels=LEVELS,
        settle=any(verdict.severity == "settle" for verdict in verdicts),
        absent=_absent(audit, verdicts),
        command=command,
        kinds=[
            *_near_duplicate_kinds(duplicates, _pairs_by_group(audit.pairs), root),
            _scene_kind(audit, root),
        ],
        warnings=[
            {"path": path, "reason": reason, "image": image_uri(root / path, SHOWN_SIDE)}
            for path, reason in warnings.head(MAX_ITEMS).iter_rows()
        ],
        more_warnings=max(0, warnings.height - MAX_ITEMS),
        unusable=quarantine.head(MAX_ITEMS).rows(),
        more_unusable=max(0, quarantine.height - MAX_ITEMS),
        charts=_charts(audit),
        classes=classes,
        similar=any(row["similar_names"] for row in classes),
        strips_left_out=sum(not row["images"] for row in classes),
    )


def _absent(audit: Audit, verdicts: list[Verdict]) -> str:
    """Name what was looked for and not found."""
    found = {verdict.section for verdict in verdicts}
    absent = [
        words
        for section, words in LOOKED_FOR.items()
        if section not in found and (section != "leaks" or audit.test.height)
    ]
    return ", ".join(absent)


def _charts(audit: Audit) -> list[dict[str, Any]]:
    """Histograms of sizes, shapes and brightness, each with its finding as the title."""
    charts = shape_charts(audit.images)
    if len(audit.brightness):
        shares = 100 * audit.brightness
        charts.append(
            {
                "title": f"Half have a brightness of {middle_half(shares, f'{NO_BREAK}%')}",
                "drawing": histogram(shares, "mean brightness of the images", f"{NO_BREAK}%"),
                "note": f"Mean gray level of {count(len(shares), 'image')}; 100 % is white.",
            }
        )
    return charts


def _pairs_by_group(pairs: pl.DataFrame) -> GroupPairs:
    """Group -> its pairs, the least sure first: they are the most likely to be wrong."""
    by_group: GroupPairs = {}
    for pair in pairs.sort("probability", "path", "other").to_dicts():
        by_group.setdefault(pair["duplicate_group"], []).append(pair)
    return by_group


def _scene_kind(audit: Audit, root: Root) -> dict[str, Any]:
    """The bursts, as one more kind."""
    scenes = audit.scenes.rename({"scene": "duplicate_group"})
    images = audit.images.select("path", "label", "split", "height", "width")
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
        "section": title.lower().replace(" ", "-"),
        "meaning": meaning,
        "count": len(names),
        "groups": groups,
        "more": max(0, len(names) - MAX_ITEMS),
    }


def _group_images(members: pl.DataFrame, root: Root) -> list[dict[str, str]]:
    images = []
    columns = ["path", "label", "split", "height", "width"]
    for path, label, split, height, width in members.select(columns).iter_rows():
        images.append(
            {
                "path": path,
                "label": label or "no label",
                "split": split or "",
                "size": f"{width} \N{MULTIPLICATION SIGN} {height}",
                "image": image_uri(root / path, SHOWN_SIDE),
            }
        )
    return images


def _class_rows(audit: Audit, root: Root) -> list[dict[str, Any]]:
    """Per class: label, count, percentage of the largest class, images, similar names."""
    largest = audit.classes["images"].max()
    paths = dict(audit.manifest.table.sort("path").group_by("label").agg("path").iter_rows())
    each = STRIP_IMAGES if audit.classes.height * STRIP_IMAGES <= MAX_STRIP_IMAGES else 3
    rows = []
    for number, (label, n_images, similar_names) in enumerate(audit.classes.iter_rows()):
        shown: list[str] = []
        if (number + 1) * each <= MAX_STRIP_IMAGES:
            own = paths[label]
            n_shown = min(each, len(own))
            picked = [own[index * len(own) // n_shown] for index in range(n_shown)]
            shown = [image_uri(root / path, STRIP_SIDE) for path in picked]
        rows.append(
            {
                "label": label,
                "count": n_images,
                "share": 100 * n_images / largest,
                "images": [uri for uri in shown if uri],
                "similar_names": similar_names,
            }
        )
    return rows
