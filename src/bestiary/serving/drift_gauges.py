"""Images as they are served -> Prometheus gauges of whether the world is still the run's.

The latest images are tested, at most `WATCHED_IMAGES`, again once `NEW_IMAGES` more have come. So
memory is bounded. A scrape starts a test in a thread of its own and reads the latest that has
ended, so it never waits for one. A test that is repeated finds a change by chance now and then: let
an alert wait for two in turn.
"""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
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
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="drift")
        self._test: Future[Drift | None] | None = None
        self._tested = 0
        self._latest: Drift | None = None
        gauges = {
            "auc": "How often a recent image is told from the run's own; 0.5 is not at all",
            "p_value": "Chance of images of the same world that differ as much",
            "changed": "1 where the recent images are not of the run's world, else 0",
            "images": "Recent images that were tested",
        }
        for name, text in gauges.items():
            gauge = Gauge(f"bestiary_drift_{name}", text, registry=registry)
            gauge.set_function(partial(self._value, name))

    def _value(self, name: str) -> float:
        """Read a value of the latest test; NaN where too few images have come."""
        drift = self._latest_test()
        if name == "images":
            return float(drift.images) if drift else 0.0
        if drift is None or not drift.can_tell:
            return NAN
        values = {"auc": drift.auc.value, "p_value": drift.p_value, "changed": drift.changed}
        return float(values[name])

    def _latest_test(self) -> Drift | None:
        """Read the latest test that has ended, and start one if enough images have come since."""
        with self._lock:
            if self._test and self._test.done():
                self._latest = self._test.result()
                self._test = None
            images = self._monitor.images
            if self._test is None and images - self._tested >= NEW_IMAGES:
                self._tested = images
                self._test = self._pool.submit(self._monitor.result)
            return self._latest
