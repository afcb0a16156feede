"""Images as they are served -> Prometheus gauges of whether the world is still the run's.

The latest images are tested, at most `WATCHED_IMAGES`, again once `NEW_IMAGES` more have come. So
memory is bounded, and a scrape seldom waits for a test. A test that is repeated finds a change by
chance now and then: let an alert wait for two in turn.
"""

import threading
from functools import partial

from prometheus_client import CollectorRegistry, Gauge

from bestiary.evaluation.drifting import NEW_IMAGES, DriftMonitor
from bestiary.stats.drift import Drift

NAN = float("nan")


class DriftGauges:
    """Gauges that are read when metrics are scraped.

    Args:
        monitor: is given the logits of served images.
        registry: of the metrics.
    """

    def __init__(self, monitor: DriftMonitor, registry: CollectorRegistry) -> None:
        self._monitor = monitor
        self._lock = threading.Lock()
        self._tested = 0
        self._latest: Drift | None = None
        gauges = {
            "auc": "How often a recent image is told from the run's own; 0.5 is not at all",
            "p_value": "Chance of images of the same world that differ as much",
            "images": "Recent images that were tested",
        }
        for name, text in gauges.items():
            gauge = Gauge(f"bestiary_drift_{name}", text, registry=registry)
            gauge.set_function(partial(self._value, name))

    def _value(self, name: str) -> float:
        """Read a value of the latest test; NaN where too few images have come."""
        drift = self._test()
        if name == "images":
            return float(drift.images) if drift else 0.0
        if drift is None or not drift.can_tell:
            return NAN
        return drift.auc.value if name == "auc" else drift.p_value

    def _test(self) -> Drift | None:
        """Test the recent images, if enough have come since the last time."""
        with self._lock:
            images = self._monitor.images
            if self._latest is None or images - self._tested >= NEW_IMAGES:
                self._latest = self._monitor.result()
                self._tested = images
            return self._latest
