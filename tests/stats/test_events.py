"""One answer an event: mean logits, labels of events, and what the answers gain on simulations."""

import numpy as np
import pytest

from bestiary.stats.calibration import Calibration
from bestiary.stats.events import MIXED, event_labels, event_scores, pool_logits
from bestiary.stats.metrics import logit_log_losses

CLASSES = 5


def simulate(seed: int, events: int = 300) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Logits, labels and events of bursts; half of an image's error is its event's."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, 6, events)
    numbers = np.repeat(np.arange(events), sizes)
    truth = rng.integers(0, CLASSES, events)
    shared = rng.normal(0, 0.8, (events, CLASSES))
    noise = shared[numbers] + rng.normal(0, 1.2, (len(numbers), CLASSES))
    return 1.5 * np.eye(CLASSES)[truth[numbers]] + noise, truth[numbers], numbers


def test_pool_members() -> None:
    logits = np.arange(24.0).reshape(2, 4, 3)
    pooled = pool_logits(logits, np.array([1, 0, 1, 1]))
    assert pooled.shape == (2, 2, 3)
    np.testing.assert_allclose(pooled[:, 0], logits[:, 1])
    np.testing.assert_allclose(pooled[:, 1], logits[:, [0, 2, 3]].mean(axis=1))


def test_labels_of_events() -> None:
    labels = event_labels(np.array([2, 2, 0, 1]), np.array([0, 0, 1, 1]))
    assert labels.tolist() == [2, MIXED]


@pytest.mark.parametrize("seed", range(3))
def test_events_beat_images(seed: int) -> None:
    logits, labels, events = simulate(seed)
    scores = event_scores(logits, labels, events, events)
    assert scores["gain"]["low"] > 0
    assert scores["events"]["value"] > scores["images"]["value"]
    assert scores["events"]["n"] == scores["n_events"] == 300 and not scores["n_mixed"]


def test_mixed_events_are_counted() -> None:
    logits, labels, events = simulate(0, 30)
    labels = labels.copy()
    first = int(np.argmax(np.bincount(events) > 1))
    labels[np.flatnonzero(events == first)[0]] = (labels[events == first][1] + 1) % CLASSES
    scores = event_scores(logits, labels, events, events)
    assert scores["n_mixed"] == 1 and scores["events"]["n"] == 29


def test_events_need_their_own_temperature() -> None:
    logits, labels, events = simulate(1, 600)
    of_images = Calibration.fit(logits, labels)
    pooled, truth = (
        pool_logits(logits / of_images.temperature, events),
        event_labels(labels, events),
    )
    own = Calibration.fit(pooled, truth)
    assert own.temperature < 0.95
    before = logit_log_losses(pooled, truth).mean()
    assert logit_log_losses(pooled / own.temperature, truth).mean() < before - 0.001
