"""An audit -> one self-contained HTML page that shows each finding with its pictures. Finds nothing itself."""

from typing import Any

import polars as pl

from bestiary.data.audit import Audit
from bestiary.data.thumbnails import picture_uri
from bestiary.reporting.render import render
from bestiary.storage.files import Root

MOST = 100  # groups or pictures shown of each kind; the tables beside the page hold all of them
MEMBERS = 8  # pictures shown of one group


def scan_page(audit: Audit) -> str:
    """The page as HTML; the pictures that cannot be read any more are shown by name only."""
    root = audit.manifest.root
    copies = audit.copies
    leaking = pl.col("copies").is_in(copies.filter("leak")["copies"].unique().to_list())
    leaks, rest = copies.filter(leaking), copies.filter(~leaking)
    warnings = audit.warnings
    largest = audit.classes["pictures"].max()
    return render(
        "scan.html",
        root=root,
        pictures=audit.pictures.height,
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
                "Copies with different labels: trained on, never scored, until their labels are settled.",
                rest.filter("conflict"),
                root,
            ),
            _groups(
                "Copies",
                "One motif each; all its copies stay in one fold.",
                rest.filter(~pl.col("conflict")),
                root,
            ),
        ],
        doubtful=[
            {"path": path, "reason": reason, "picture": picture_uri(root / path)}
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
    names = copies["copies"].unique(maintain_order=True)
    shown = []
    for name in names.head(MOST):
        members = copies.filter(copies=name)
        pictures = [
            {
                "path": path,
                "label": label or "no label",
                "split": split or "",
                "picture": picture_uri(root / path),
            }
            for path, label, split in members.select("path", "label", "split")
            .head(MEMBERS)
            .iter_rows()
        ]
        shown.append({"pictures": pictures, "more": max(0, members.height - MEMBERS)})
    return {
        "title": title,
        "meaning": meaning,
        "count": len(names),
        "groups": shown,
        "more": max(0, len(names) - MOST),
    }
