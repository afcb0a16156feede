"""A run among others -> the ways between their reports, as relative links."""

import os
from pathlib import Path
from urllib.parse import quote

from bestiary.run.checksums import file_digest
from bestiary.run.layout import MANIFEST, REPORTS
from bestiary.run.run import Run

MAX_OTHERS = 12  # linked from a report
MAX_LOOKED_AT = 200


def runs_in(folder: Path) -> list[Path]:
    """List the runs right below a folder, by name; links are not followed."""
    if not folder.is_dir():
        return []
    inside = sorted(path for path in folder.iterdir() if path.is_dir() and not path.is_symlink())
    return [path for path in inside if Run(path).exists]


def report_link(run: Run, folder: Path) -> str:
    """The way from a folder to the report of a run; empty where there is none."""
    report = run.file(REPORTS["html"])
    if run.address or not report.exists():
        return ""
    return quote(os.path.relpath(report, folder).replace(os.sep, "/"))


def other_reports(run: Run) -> list[tuple[str, str]]:
    """Name and link of the reports of runs of the same images, in folders next to this run's.

    Args:
        run: the run whose page lies in its folder.

    Returns:
        At most `MAX_OTHERS`, by name. Runs of other images are not named: the page may be passed
        on.
    """
    if run.address:
        return []
    here = run.path.resolve()
    own = file_digest(run.file(MANIFEST))
    others = []
    for place in runs_in(here.parent)[:MAX_LOOKED_AT]:
        other = Run(place)
        link = report_link(other, here)
        if place != here and link and _digest(other) == own:
            others.append((other.name, link))
    return others[:MAX_OTHERS]


def _digest(run: Run) -> str:
    try:
        return file_digest(run.file(MANIFEST))
    except OSError:
        return ""
