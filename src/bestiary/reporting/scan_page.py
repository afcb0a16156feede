"""An audit -> one self-contained HTML page that shows each finding with its images. Finds
nothing itself.
"""

from typing import Any

import polars as pl

from bestiary.data.audit import Audit
from bestiary.data.thumbnails import image_uri
from bestiary.reporting.render import render
from bestiary.storage.files import Root

MOST = 100  # groups or images shown of each kind; the tables beside the page hold all of them
MEMBERS = 8  # images shown of one group


def scan_page(audit: Audit) -> str:
    """The page as HTML; the images that cannot be read any more are shown by name only."""
    root = audit.manifest.root
    copies = audit.copies
    leaking = pl.col("duplicate_group").is_in(
        copies.filter("leak")["duplicate_group"].unique().to_list()
    )
    leaks, rest = copies.filter(leaking), copies.filter(~leaking)
    warnings = audit.warnings
    largest = audit.classes["images"].max()
    return render(
        "scan.html",
        root=root,
        images=audit.images.height,
        summary=[line.partition(": ")[::2] for line in audit.lines()],
        kinds=[
            _groups(
                "Leaks",
                "Copies on both sides of the test split: the test score flatters.",
                leaks,
                root,
            ),
            _groups(
                "Conflicts",
                "Copies with different labels: trained on, never scored, until their labels are "
                "settled.",
                rest.filter("label_conflict"),
                root,
            ),
            _groups(
                "Copies",
                "One motif each; all its copies stay in one fold.",
                rest.filter(~pl.col("label_conflict")),
                root,
            ),
        ],
        doubtful=[
            {"path": path, "reason": reason, "image": image_uri(root / path)}
            for path, reason in warnings.head(MOST).iter_rows()
        ],
        doubtful_more=max(0, warnings.height - MOST),
        unusable=audit.quarantine.head(MOST).rows(),
        unusable_more=max(0, audit.quarantine.height - MOST),
        classes=[
            (label, count, 100 * count / largest, twins)
            for label, count, twins in audit.classes.iter_rows()
        ],
    )


def _groups(title: str, meaning: str, copies: pl.DataFrame, root: Root) -> dict[str, Any]:
    """What the page shows of one kind of copies."""
    names = copies["duplicate_group"].unique(maintain_order=True)
    shown = []
    for name in names.head(MOST):
        members = copies.filter(copies=name)
        images = [
            {
                "path": path,
                "label": label or "no label",
                "split": split or "",
                "image": image_uri(root / path),
            }
            for path, label, split in members.select("path", "label", "split")
            .head(MEMBERS)
            .iter_rows()
        ]
        shown.append({"images": images, "more": max(0, members.height - MEMBERS)})
    return {
        "title": title,
        "meaning": meaning,
        "count": len(names),
        "groups": shown,
        "more": max(0, len(names) - MOST),
    }
