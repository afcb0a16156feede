"""The verb `scan`: a dataset -> what is wrong with it, before anything is trained."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from bestiary.api.arguments import Location, Many
from bestiary.argument_types import checked_arguments

if TYPE_CHECKING:
    from bestiary.data.audit import Audit


@checked_arguments
def scan(
    data: Location,
    /,
    *,
    out: Location | None = None,
    overrides: Annotated[Sequence[str], Parameter(name="--set"), Many] = (),
    not_duplicates: Location | None = None,
    quiet: bool = False,
) -> "Audit":
    """Find bad files, near duplicates, label conflicts and leaks.

    train does the same before it assigns the folds. Nothing in DATA is touched, and
    what has been read once is cached. Exit status: 0, or 1 if there are unusable
    files, duplicates with different labels or duplicates across the test split.

    Parameters
    ----------
    data
        Folder of class folders (or of train/, val/ and test/), or a table, as for train.
    out
        Folder for the findings: quarantine.csv, warnings.csv, near_duplicates.csv,
        same_scenes.csv, classes.csv, not_duplicates.csv, a table of pairs to decide on, and
        scan.html, a page that shows them with their images.
    overrides
        How DATA is listed, as in train: data.root=FOLDER, the folder that the paths of a
        table start from, data.layout=LAYOUT, how folders are nested, data.boxes=FILE, the
        boxes in the images, and data.burst_seconds=N, how long the frames of a burst are
        apart at most.
    not_duplicates
        Table of decided pairs: those whose decision is no are no near duplicates.
    quiet
        Show no progress.

    Examples
    --------
    >>> import bestiary
    >>> audit = bestiary.scan("images", quiet=True)
    >>> audit.manifest.table.height, audit.exit_code
    (36, 0)
    """
    from bestiary.api.output_folder import check_output_folder
    from bestiary.api.scanned import Scanned, listing_command
    from bestiary.atomic import write_text
    from bestiary.data.audit import audit_images
    from bestiary.data.listing import list_labeled
    from bestiary.data.pair_decisions import check_replaceable, read_decisions
    from bestiary.display import Display
    from bestiary.recipe.load import load_data_options
    from bestiary.reporting.scan_page import scan_page
    from bestiary.run.layout import NOT_DUPLICATES, SCAN_PAGE
    from bestiary.storage.files import location

    options = load_data_options(overrides, "data.burst_seconds")
    decided = Path(not_duplicates) if not_duplicates is not None else None
    decisions = read_decisions(decided)
    if out is not None:
        check_output_folder("--out", Path(out))
        check_replaceable(Path(out) / NOT_DUPLICATES, decided)
    listing = list_labeled(data, options)
    audit = audit_images(listing, Display(quiet), options, decisions)
    page = Path(out) / SCAN_PAGE if out is not None else None
    if page is not None:
        audit.write(page.parent)
        command = listing_command("probe", location(data), "RUN", overrides, not_duplicates)
        write_text(page, scan_page(audit, command))
    return Scanned.of(audit, data, page, overrides, not_duplicates)
