"""Scores in the field -> the section on places, events, months and higher ranks."""

from dataclasses import dataclass

from bestiary.numbers import count, counted, percent, percent_range, points, points_range
from bestiary.reporting.sections import Table, TableRows
from bestiary.run.field_scores import (
    EventScores,
    FieldScores,
    PlaceScores,
    RankScore,
    ShareScore,
    prior_line,
)

RANK_HEAD = ("level", "right", "95 % interval", "promised", "right of these")
PLACE_HEAD = ("accuracy", "share right", "95 % interval", "of")


@dataclass(frozen=True, slots=True)
class FieldSection:
    """What the section on the field shows.

    Attributes:
        texts: sentences.
        shares: accuracies at known and new sites, and by image and event.
        ranks: answers by level of the taxonomy; None: there is none.
    """

    texts: list[str]
    shares: Table
    ranks: Table | None


def field_section(scores: FieldScores) -> FieldSection | None:
    """Describe how a run does in the field.

    Args:
        scores: of the run.

    Returns:
        The section; None where nothing was measured.
    """
    texts: list[str] = []
    rows: TableRows = []
    if scores.places:
        texts += _place_texts(scores.places)
        rows += _place_rows(scores.places)
    if scores.events:
        texts.append(_event_text(scores.events))
        rows += _event_rows(scores.events)
    if scores.prior:
        texts.append(f"{prior_line(scores.prior)}.")
    ranks = _rank_table(scores.ranks) if len(scores.ranks) > 1 else None
    if not (texts or ranks):
        return None
    return FieldSection(texts, Table(PLACE_HEAD, rows), ranks)


def place_headline(places: PlaceScores) -> str:
    """State the accuracy at known and at new sites, in one sentence.

    Args:
        places: of a run.

    Returns:
        The sentence; empty where only one of the two is known.
    """
    if not places.known or not places.new:
        return ""
    known, new = percent(places.known.value), percent(places.new.value)
    if not places.heads:
        return f"Right on {known} of new images at known sites, on {new} at new ones."
    return (
        f"New sites are harder: heads on the frozen network are right on {known} of new images at "
        f"known sites, on {new} at new ones."
    )


def _place_texts(places: PlaceScores) -> list[str]:
    texts = []
    if places.by == "site":
        texts.append(
            "Each fold left out whole sites, so the accuracy of this report is that at new sites."
        )
    else:
        texts.append(
            "Each fold left out images of sites that it was trained on, so the accuracy of this "
            "report is that at known sites. For new ones train with --set folds.by=site."
        )
    if places.gap:
        gap = places.gap
        how = (
            " Both are those of heads on the frozen network, with the same images."
            if places.heads
            else ""
        )
        texts.append(
            f"From known to new sites the accuracy changes by {points(-gap.value)} points "
            f"({points_range(-gap.high, -gap.low)}).{how}"
        )
    return texts


def _place_rows(places: PlaceScores) -> TableRows:
    rows: TableRows = []
    for name, score in (("at known sites", places.known), ("at new sites", places.new)):
        if score:
            of = counted(score.n, "image")
            if name == "at new sites":
                of += f", {count(score.groups, 'site')}"
            rows.append(_row(name, score, of))
    return rows


def _event_text(events: EventScores) -> str:
    gain = events.gain
    mixed = ""
    if events.n_mixed:
        have = "event has" if events.n_mixed == 1 else "events have"
        mixed = f" {events.n_mixed:,} {have} images of several labels and no accuracy of their own."
    return (
        f"Images that take the answer of their event are right more often by "
        f"{points(gain.value)} points ({points_range(gain.low, gain.high)}).{mixed}"
    )


def _event_rows(events: EventScores) -> TableRows:
    rows = [
        _row("by image", events.images, counted(events.images.n, "image")),
        _row("by image, with its event's answer", events.images_by_event, "the same"),
    ]
    if events.events:
        rows.append(_row("by event", events.events, count(events.events.n, "event")))
    return rows


def _row(name: str, score: ShareScore, of: str) -> tuple[str, ...]:
    return (name, percent(score.value), percent_range(score.low, score.high), of)


def _rank_table(ranks: list[RankScore]) -> Table:
    rows = [
        (
            row.rank,
            percent(row.all.value),
            percent_range(row.all.low, row.all.high),
            percent(row.share),
            f"{percent(row.promised.value)} of {row.promised.n:,}" if row.promised else "none",
        )
        for row in ranks
    ]
    return Table(RANK_HEAD, rows)
