"""TODO api.scan"""

from pathlib import Path
from typing import TYPE_CHECKING

from bestiary.api.arguments import Place

if TYPE_CHECKING:
    from bestiary.data.audit import Audit


def scan(data: Place, /, *, out: Place | None = None, quiet: bool = False) -> "Audit":
    """Look for what makes scores lie: unreadable and odd images, copies, conflicting labels, leaks,
    odd classes.

    train does the same before it deals the folds. Nothing in DATA is touched, and what was read
    once is remembered. Exit status: 0, or 1 when there are unusable files, copies with different
    labels or copies across the test split.

    Parameters ---------- data Folder of class folders (or of train/, val/ and test/), or a table,
    as for train. out Folder for the findings: quarantine.csv, warnings.csv, near_duplicates.csv,
    classes.csv, and scan.html, a page that shows them with their images. quiet Show no progress.
    """
    from bestiary.atomic import write_text
    from bestiary.data.audit import audit_images
    from bestiary.data.listing import list_labeled, list_test
    from bestiary.display import Display
    from bestiary.reporting.scan_page import scan_page

    audit = audit_images(list_labeled(data), list_test(data), Display(quiet))
    if out is not None:
        audit.write(Path(out))
        write_text(Path(out) / "scan.html", scan_page(audit))
    return audit
