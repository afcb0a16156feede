"""A prior of place and month: what it adds, where it is silent, and that its gain is honest."""

import numpy as np
import pytest

from bestiary.stats.averaging import softmax
from bestiary.stats.place_prior import PlacePrior, PriorSettings, Sightings, try_prior

SETTINGS = PriorSettings(kilometers=5, smoothing=1, strength=1)


def simulate(
    seed: int, link: float, events: int = 400
) -> tuple[np.ndarray, np.ndarray, Sightings, np.ndarray]:
    """Weak logits of 4 classes whose frequency depends on the place with strength `link`."""
    rng = np.random.default_rng(seed)
    site = rng.integers(0, 20, events)
    places = rng.uniform((46, 8), (47, 9), (20, 2))
    tendency = softmax(link * rng.normal(0, 2, (20, 4)))
    labels = (rng.random((events, 1)) > tendency[site].cumsum(axis=1)).sum(axis=1)
    labels = np.minimum(labels, 3)
    logits = np.eye(4)[labels] * 1.0 + rng.normal(0, 0.7, (events, 4))
    month = rng.integers(1, 13, events)
    return logits, labels, Sightings(places[site, 0], places[site, 1], month), site


def test_near_labels_count_and_far_ones_do_not() -> None:
    sightings = Sightings(
        np.array([46.0, 46.0, 50.0]), np.array([8.0, 8.0, 9.0]), np.array([6, 6, 6])
    )
    prior = PlacePrior.learn(sightings, np.array([0, 0, 1]), np.arange(3), 2)
    asked = Sightings(
        np.array([46.0, 20.0, np.nan]), np.array([8.0, 20.0, 8.0]), np.array([6, 6, 6])
    )
    added = prior.log_ratio(asked, SETTINGS)
    assert added[0, 0] > 0 > added[0, 1]
    np.testing.assert_allclose(added[1:], 0, atol=1e-12)


def test_months_around_count_and_december_is_near_january() -> None:
    sightings = Sightings(np.full(2, 46.0), np.full(2, 8.0), np.array([12, 6]))
    prior = PlacePrior.learn(sightings, np.array([0, 1]), np.arange(2), 2)
    months = Sightings(np.full(3, 46.0), np.full(3, 8.0), np.array([1, 7, 0]))
    added = prior.log_ratio(months, SETTINGS)
    assert added[0, 0] > 0 > added[1, 0]
    assert added[2, 0] == pytest.approx(added[2, 1])


def test_a_group_counts_once() -> None:
    sightings = Sightings(np.full(4, 46.0), np.full(4, 8.0), np.full(4, 6))
    prior = PlacePrior.learn(sightings, np.array([0, 0, 0, 1]), np.array([0, 0, 0, 1]), 2)
    np.testing.assert_allclose(prior.shares, 0.5)


def test_gain_is_found_and_confirmed() -> None:
    logits, labels, sightings, site = simulate(0, 1.0)
    parts = np.arange(len(labels)) % 5
    trial = try_prior(logits, labels, sightings, parts, np.arange(len(labels)))
    assert trial.is_used and trial.gain.low > 0.02
    helped = (trial.adjusted.argmax(axis=1) == labels).mean()
    assert helped > (logits.argmax(axis=1) == labels).mean() + 0.02
    assert len(site)


@pytest.mark.parametrize("seed", range(3))
def test_no_gain_where_places_say_nothing(seed: int) -> None:
    logits, labels, sightings, _ = simulate(seed, 0.0)
    parts = np.arange(len(labels)) % 5
    assert not try_prior(logits, labels, sightings, parts, np.arange(len(labels))).is_used
