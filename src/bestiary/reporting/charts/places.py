"""Accuracy by site -> a chart: the worst sites as a forest plot."""

import numpy as np

from bestiary.numbers import NO_BREAK, count, percent, percent_range, plain_name
from bestiary.reporting.charts.chart import Chart
from bestiary.reporting.charts.forest import ForestRow, Reference, forest
from bestiary.reporting.drawing import HIT, QUIET
from bestiary.run.field_scores import PlaceScores, SiteScore, worst_site

MAX_SITES_SHOWN = 18
HEAD = ("site", "images", "events_or_groups", "accuracy", "low", "high")


def places_chart(places: PlaceScores) -> Chart:
    """Draw the sites with the lowest accuracy.

    Args:
        places: of a run.

    Returns:
        The chart.
    """
    shown = places.sites[:MAX_SITES_SHOWN]
    rows = [_row(site) for site in shown]
    low = min(row.low for row in rows)
    span = (float(np.floor(10 * min(low, 0.9)) / 10), 1.0)
    own = places.new if places.by == "site" else places.known
    references = []
    if own is not None:
        kind = "new" if places.by == "site" else "known"
        references.append(Reference(own.value, f"all {kind} {percent(own.value)}", HIT))
    title = _title(places)
    drawings = [
        forest(title, rows, span, references, narrow=narrow, aside_color=QUIET)
        for narrow in (False, True)
    ]
    seen = (
        "Each site was left out of the training that it is judged by"
        if places.by == "site"
        else "Other images of each site were trained on"
    )
    note = (
        f"Dot: share of the site's images that were right. Line: 95{NO_BREAK}% interval, events "
        f"counted once. {seen}. {count(len(places.sites), 'site')}, the worst first."
    )
    table = [
        (site.site, site.n, site.groups, site.value, site.low, site.high) for site in places.sites
    ]
    return Chart("sites", title, note, drawings[0], HEAD, table, drawings[1])


def _title(places: PlaceScores) -> str:
    worst = worst_site(places)
    if worst is None:
        return "Accuracy by site"
    return f"{plain_name(worst.site)} is the worst site: {percent(worst.value)} of its images"


def _row(site: SiteScore) -> ForestRow:
    note = (
        f"{site.site}: {percent(site.value)} ({percent_range(site.low, site.high)}) of "
        f"{count(site.n, 'image')}"
    )
    return ForestRow(
        plain_name(site.site), site.value, site.low, site.high, note, count(site.n, "image")
    )
