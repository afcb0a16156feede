"""Seed -> what camera traps see in a year: sites, and the frames of every event with their times.

A species lives around one place, is most active in one season and by day or by night. So the
species at a site, its background and its time are related, as they are in the field. Knows nothing
of drawing.

The generators here are seeded by plain lists, not by `bestiary.rng`: the drawn images must stay the
same, byte for byte. CONTRIBUTING lists this exception.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np

NO_ANIMAL = -1
"""Species of a frame without an animal."""
EMPTY_SHARE = 0.25  # frames without an animal, as a share of those with one
MAX_BURST = 5  # frames of one event
SECOND_ANIMAL_SHARE = 0.15  # of the events
YEAR_START = datetime(2025, 1, 1)  # by the cameras' own clocks
QUIET = timedelta(minutes=3)  # least time between two events of a site

_SOUTH, _WEST = 46.0, 8.0  # corner of the area in degrees; it is 0.5 degrees high and wide
_AREA_DEGREES = 0.5
_RANGE = 0.18  # standard deviation of where a species lives, as a share of the area's side
_STRAYS = 0.08  # weight of a site far away from there
_SEASON_DAYS = 60.0  # standard deviation of when a species is active
_NIGHT_HOURS = (20, 29)  # from, to; 24 and more are of the next day
_DAY_HOURS = (6, 20)


@dataclass(frozen=True, slots=True)
class Site:
    """A place with a camera.

    Attributes:
        number: from 0.
        name: such as ``site-01``.
        latitude: degrees north.
        longitude: degrees east.
        activity: how often its camera is triggered, about 1.
    """

    number: int
    name: str
    latitude: float
    longitude: float
    activity: float


@dataclass(frozen=True, slots=True)
class Frame:
    """One image of a camera.

    Attributes:
        site: number of the site.
        event: number of the event; one number is not used at two sites.
        place: number of the frame in the event, from 0.
        species: number of the species, or `NO_ANIMAL`.
        animals: number of animals of the species.
        night: whether the camera lights the scene itself, in infrared.
        time: by the camera's clock.
        path: relative to the folder of the images.
    """

    site: int
    event: int
    place: int
    species: int
    animals: int
    night: bool
    time: datetime
    path: str = ""


def invent_sites(n: int, seed: int) -> list[Site]:
    """Invent sites; site i is the same for every n above i.

    Args:
        n: number of sites.
        seed: seed of the dataset.

    Returns:
        The sites.
    """
    sites = []
    for number in range(n):
        rng = np.random.default_rng([seed, 11, number])
        north, east = rng.random(2)
        sites.append(
            Site(
                number,
                f"site-{number + 1:02d}",
                round(_SOUTH + _AREA_DEGREES * float(north), 5),
                round(_WEST + _AREA_DEGREES * float(east), 5),
                float(np.exp(rng.normal(0, 0.4))),
            )
        )
    return sites


def plan_frames(sites: list[Site], species: int, per_species: int, seed: int) -> list[Frame]:
    """Plan what the cameras see.

    Args:
        sites: where they stand.
        species: number of species.
        per_species: frames of each.
        seed: seed of the dataset.

    Returns:
        The frames by site and time, with their paths.
    """
    events: list[list[Frame]] = []
    n_empty = round(EMPTY_SHARE * species * per_species)
    for kind in [*range(species), NO_ANIMAL]:
        rng = np.random.default_rng([seed, 12, kind + 1])
        frames = n_empty if kind == NO_ANIMAL else per_species
        events.extend(_events_of(kind, frames, sites, rng))
    numbered = [
        [replace(frame, event=number) for frame in event] for number, event in enumerate(events)
    ]
    return [frame for site in sites for frame in _in_order(numbered, site)]


def _events_of(
    species: int, frames: int, sites: list[Site], rng: np.random.Generator
) -> Iterator[list[Frame]]:
    """Yield the events of a species until it has its number of frames."""
    weights = _site_weights(species, sites, rng)
    peak = rng.uniform(0, 365)
    night_share = 0.5 if species == NO_ANIMAL else float(rng.choice([0.1, 0.35, 0.8]))
    while frames > 0:
        site = int(rng.choice(len(sites), p=weights))
        day = rng.uniform(0, 365) if species == NO_ANIMAL else rng.normal(peak, _SEASON_DAYS)
        night = bool(rng.random() < night_share)
        hour = rng.uniform(*(_NIGHT_HOURS if night else _DAY_HOURS))
        time = YEAR_START + timedelta(days=int(day % 365), seconds=int(hour * 3600))
        animals = 0 if species == NO_ANIMAL else 1 + int(rng.random() < SECOND_ANIMAL_SHARE)
        event = []
        for place in range(min(frames, int(rng.integers(1, MAX_BURST + 1)))):
            event.append(Frame(site, 0, place, species, animals, night, time))
            time += timedelta(seconds=int(rng.integers(1, 4)))
        frames -= len(event)
        yield event


def _site_weights(
    species: int, sites: list[Site], rng: np.random.Generator
) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Probability that an event of a species is at each site."""
    home = rng.random(2)
    weights = []
    for site in sites:
        north = (site.latitude - _SOUTH) / _AREA_DEGREES - home[0]
        east = (site.longitude - _WEST) / _AREA_DEGREES - home[1]
        near = np.exp(-(north**2 + east**2) / (2 * _RANGE**2))
        weights.append(site.activity * (1.0 if species == NO_ANIMAL else _STRAYS + near))
    return np.array(weights) / sum(weights)


def _in_order(events: list[list[Frame]], site: Site) -> list[Frame]:
    """The frames of a site in the order of their times, with paths; events do not overlap."""
    own = sorted(
        (event for event in events if event[0].site == site.number),
        key=lambda event: (event[0].time, event[0].event),
    )
    frames: list[Frame] = []
    for event in own:
        earliest = frames[-1].time + QUIET if frames else event[0].time
        delay = max(earliest - event[0].time, timedelta())
        frames += [replace(frame, time=frame.time + delay) for frame in event]
    return [
        replace(frame, path=f"{site.name}/IMG_{number:04d}.jpg")
        for number, frame in enumerate(frames, start=1)
    ]
