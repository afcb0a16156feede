"""Gauges of drift: none of too few images, a test of the latest, and memory that is bounded."""

import math
import re
import threading
import time
from collections.abc import Callable

import numpy as np
import pytest

pytest.importorskip("prometheus_client", reason="extra `serve` is not installed")

from bestiary.evaluation.drifting import NEW_IMAGES, WATCHED_IMAGES, DriftMonitor, World
from bestiary.serving.metrics import Metrics
from bestiary.stats.drift import Drift
from bestiary.stats.intervals import Interval


def logits(rng: np.random.Generator, images: int, shift: float = 0.0) -> np.ndarray:
    """Logits (members, images, classes) of three classes, which all members see alike."""
    labels = rng.integers(0, 3, images)
    values = 3.0 * np.eye(3)[labels] + rng.normal(0, 1, (images, 3))
    values[:, 0] += shift
    return np.stack([values, values]).astype(np.float32)


@pytest.fixture
def monitor() -> DriftMonitor:
    rng = np.random.default_rng(4)
    known = logits(rng, 400)[0].astype(np.float64)
    members = rng.integers(0, 2, 400)
    world = World(known, members, np.ones(2))
    return DriftMonitor(world, WATCHED_IMAGES, latest=True)


def values(metrics: Metrics) -> dict[str, float]:
    """What a scrape reads now."""
    text = metrics.text().decode()
    found = re.findall(r"^bestiary_drift_(\w+) (\S+)$", text, re.MULTILINE)
    return {name: float(value) for name, value in found}


def scraped(metrics: Metrics, is_told: Callable[[dict[str, float]], bool]) -> dict[str, float]:
    """Scrape until a test has ended whose values are those that are waited for."""
    for _ in range(2000):
        if is_told(found := values(metrics)):
            return found
        time.sleep(0.01)
    raise AssertionError(f"no such test has ended: {found}")


def test_gauges_follow_the_latest_images(monitor: DriftMonitor) -> None:
    metrics = Metrics()
    metrics.watch_drift(monitor)
    assert math.isnan(values(metrics)["auc"])
    rng = np.random.default_rng(5)
    monitor.add(logits(rng, WATCHED_IMAGES))
    same = scraped(metrics, lambda found: found["images"] > 0)
    assert same["p_value"] > 0.05
    assert same["changed"] == 0
    assert same["images"] == WATCHED_IMAGES
    monitor.add(logits(rng, NEW_IMAGES - 1, shift=2.0))
    assert values(metrics) == same, "a test waits for enough new images"
    monitor.add(logits(rng, WATCHED_IMAGES, shift=2.0))
    other = scraped(metrics, lambda found: found["auc"] != same["auc"])
    assert other["changed"] == 1
    assert other["p_value"] <= 0.05 < same["p_value"]
    assert other["auc"] > same["auc"]


def test_a_scrape_waits_for_no_test(monitor: DriftMonitor, monkeypatch: pytest.MonkeyPatch) -> None:
    may_end = threading.Event()
    drift = Drift(Interval(0.5, 0.4, 0.6), 0.5, 50, 400, np.zeros(50), {})
    monkeypatch.setattr(monitor, "result", lambda: drift if may_end.wait(60) else None)
    metrics = Metrics()
    metrics.watch_drift(monitor)
    monitor.add(logits(np.random.default_rng(1), NEW_IMAGES))
    assert values(metrics)["images"] == 0, "the test is still under way"
    may_end.set()
    assert scraped(metrics, lambda found: found["images"] > 0)["images"] == 50


def test_memory_is_that_of_the_latest(monitor: DriftMonitor) -> None:
    rng = np.random.default_rng(2)
    for _ in range(20):
        monitor.add(logits(rng, 100))
    assert len(monitor._kept) == WATCHED_IMAGES
    assert monitor.images == 2000
