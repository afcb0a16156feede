"""metrics.json -> the scores in the field: at known and new places, checked; and them in words.

A run may come from a stranger, and its scores are printed. A run whose images have no sites has
none. Computes no score.
"""

from typing import Annotated

from pydantic import Field, ValidationError

from bestiary.errors import DamagedError
from bestiary.numbers import count, counted, percent, percent_range, points, points_range
from bestiary.printable import printable_name
from bestiary.recipe.choices import FoldBy
from bestiary.run.finished_files import finished_file
from bestiary.run.json_files import JsonSection, first_problem
from bestiary.run.layout import METRICS
from bestiary.run.run import Run

FIELD_KEY = "field"  # in metrics.json
MAX_SITES = 100_000
MIN_IMAGES = 20  # of a site that is named as the worst: with fewer, chance decides
Share = Annotated[float, Field(ge=0, le=1)]
Change = Annotated[float, Field(ge=-1, le=1)]
Number = Annotated[int, Field(ge=0, le=10**12)]


class ShareScore(JsonSection):
    """A share with its 95 % interval, and what it was counted on."""

    value: Share
    low: Share
    high: Share
    n: Number
    groups: Number

    def __str__(self) -> str:
        return f"{percent(self.value)} ({percent_range(self.low, self.high)})"


class ChangeScore(JsonSection):
    """A difference of two shares with its 95 % interval."""

    value: Change
    low: Change
    high: Change


class SiteScore(ShareScore):
    """The accuracy at one site."""

    site: str = Field(max_length=32_768)


class PlaceScores(JsonSection):
    """Accuracy by site, and at known and new sites.

    Attributes:
        by: what the folds of the run leave out together.
        sites: the accuracy at each site, worst first.
        known: at sites that the training part has images of; None: not known.
        new: at sites that it has none of; None: not known.
        gap: known less new; None: one of them is not known.
        heads: whether both are those of heads on the frozen network, and not of the run's members.
    """

    by: FoldBy
    sites: list[SiteScore] = Field(max_length=MAX_SITES)
    known: ShareScore | None = None
    new: ShareScore | None = None
    gap: ChangeScore | None = None
    heads: bool = False


class EventScores(JsonSection):
    """Accuracy by image and by event.

    Attributes:
        images: by image, each with its own answer.
        images_by_event: by image, each with the answer of its event.
        gain: the second less the first.
        events: by event; None: every event has images of several labels.
        n_events: number of events.
        n_mixed: number of those whose images have several labels.
    """

    images: ShareScore
    images_by_event: ShareScore
    gain: ChangeScore
    events: ShareScore | None = None
    n_events: Number
    n_mixed: Number


class LossGain(JsonSection):
    """A difference of two mean log losses with its 95 % interval."""

    value: float
    low: float
    high: float


class PriorScores(JsonSection):
    """What a prior of place and month gains out of fold.

    Attributes:
        used: whether it is surely better, so that predict uses it.
        accuracy: by image, with the prior.
        gain: that less the accuracy without it.
        loss_gain: log loss without it less that with it.
        kilometers: distance at which labels count.
    """

    used: bool
    accuracy: ShareScore
    gain: ChangeScore
    loss_gain: LossGain
    kilometers: float = Field(gt=0, le=1e5)


class RankScore(JsonSection):
    """Answers at one level of a taxonomy.

    Attributes:
        rank: name of the level; ``label`` for the classes themselves.
        all: accuracy if every image is answered at this level.
        share: share of the images that this level is the lowest sure one of.
        promised: accuracy of these; None: there are none.
    """

    rank: str = Field(max_length=100)
    all: ShareScore
    share: Share
    promised: ShareScore | None = None


class FieldScores(JsonSection):
    """The scores in the field; what is None was not measured."""

    places: PlaceScores | None = None
    events: EventScores | None = None
    prior: PriorScores | None = None
    ranks: list[RankScore] = Field(default_factory=list, max_length=20)


def read_field_scores(run: Run) -> FieldScores:
    """Read the scores in the field.

    Args:
        run: the run.

    Returns:
        The scores; without any where not all folds have ended, or the images have no sites.

    Raises:
        DamagedError: the file is damaged, or a score in it cannot be one.
    """
    file = finished_file(run.path, METRICS)
    if not file.exists():
        return FieldScores()
    content = run.read_json(METRICS).get(FIELD_KEY, {})
    try:
        return FieldScores.model_validate(content)
    except ValidationError as error:
        reason = first_problem(error)
        raise DamagedError.foreign(file, reason, "write it again with --resume") from None


def field_lines(scores: FieldScores) -> list[str]:
    """Say how well a run does in the field.

    Args:
        scores: of the run.

    Returns:
        A line for each thing that was measured.
    """
    lines = place_lines(scores.places) if scores.places else []
    if scores.events:
        lines += event_lines(scores.events)
    if scores.prior:
        lines.append(prior_line(scores.prior))
    if len(scores.ranks) > 1:
        lines.append(rank_line(scores.ranks))
    return lines


def prior_line(prior: PriorScores) -> str:
    """Say what place and month gain, and whether predict uses them."""
    loss = prior.loss_gain
    text = (
        f"Place and month of labeled images: log loss lower by {loss.value:.3f} "
        f"({loss.low:.3f} to {loss.high:.3f}), accuracy {points(prior.gain.value)} points "
        f"({points_range(prior.gain.low, prior.gain.high)}), out of fold"
    )
    return f"{text}; predict uses them" if prior.used else f"{text}: no sure gain, so not used"


def rank_line(ranks: list[RankScore]) -> str:
    """Say how many images each level of a taxonomy can promise an answer for."""
    parts = [
        f"{percent(row.share)} at the {row.rank} ({percent(row.promised.value)} of "
        f"{count(row.promised.n, 'image')} right)"
        for row in ranks
        if row.promised
    ]
    rest = 1 - sum(row.share for row in ranks)
    if not parts:
        return "Lowest rank with at most 5 % wrong: none can be promised with so few sure answers"
    answered = ", ".join(parts)
    return (
        f"Lowest rank with at most 5 % wrong: {answered}; the other {percent(max(0.0, rest))} at "
        "none"
    )


def event_lines(events: EventScores) -> list[str]:
    """Say what one answer an event gains.

    Args:
        events: scores of a run.

    Returns:
        One or two lines.
    """
    gain = f"{points(events.gain.value)} points ({points_range(events.gain.low, events.gain.high)})"
    by_event = (
        f"By event {events.events}, {count(events.events.n, 'event')}; " if events.events else ""
    )
    lines = [f"{by_event}by image {events.images}; images with the answer of their event: {gain}"]
    if events.n_mixed:
        have = "event has" if events.n_mixed == 1 else "events have"
        lines.append(
            f"{events.n_mixed:,} {have} images of several labels, and no accuracy by event"
        )
    return lines


def place_lines(places: PlaceScores) -> list[str]:
    """Say how well a run does at known and at new sites, and where it does worst.

    Args:
        places: of the run.

    Returns:
        One to three lines.
    """
    lines = []
    if places.known and places.new:
        how = "; both by heads on the frozen network" if places.heads else ""
        sites = count(places.new.groups, "site")
        lines.append(f"At known sites {places.known}, at new ones {places.new}, {sites}{how}")
        if places.gap:
            loss = f"{points(-places.gap.value)} points"
            lines[0] += f"; from known to new {loss}"
    elif places.new:
        lines.append(
            f"At new sites {places.new}, {count(places.new.groups, 'site')}; no fold has a site "
            f"that it was trained on"
        )
    if places.by == "image":
        lines.append(
            "The out-of-fold accuracy is that at known sites; for new ones train with "
            "--set folds.by=site"
        )
    if worst := worst_site(places):
        lines.append(
            f"Worst site with {MIN_IMAGES} images or more: {printable_name(worst.site)}, {worst} "
            f"of {counted(worst.n, 'image')}"
        )
    return lines


def worst_site(places: PlaceScores) -> SiteScore | None:
    """Find the site with the lowest accuracy among those with `MIN_IMAGES` images or more."""
    large = [site for site in places.sites if site.n >= MIN_IMAGES]
    if len(large) < 2 or large[0].value == 1:
        return None
    return large[0]
