"""Images as they are served -> Prometheus gauges of whether the world is still the run's.

The latest images are tested, at most `WATCHED_IMAGES`, again once `NEW_IMAGES` more have come. So
memory is bounded. A scrape starts a test in a thread of its own and reads the latest that has
ended, so it never waits for one. A test that is repeated finds a change by chance now and then: let
an alert wait for two in turn.
"""

import threading
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily

from bestiary.evaluation.drifting import NEW_IMAGES, DriftMonitor
from bestiary.stats.drift import Drift

NAN = float("nan")


class DriftGauges:
    """Gauges of one test, read together when metrics are scraped.

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
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges of the latest test; NaN where too few images have come."""
        drift = self._latest_test()
        auc = p_value = changed = NAN
        if drift is not None and drift.can_tell:
            auc, p_value, changed = drift.auc.value, drift.p_value, float(drift.changed)
        for name, text, value in (
            ("auc", "How often a recent image is told from the run's own; 0.5 is not at all", auc),
            ("p_value", "Chance of images of the same world that differ as much", p_value),
            ("changed", "1 where the recent images are not of the run's world, else 0", changed),
            ("images", "Recent images that were tested", drift.images if drift else 0),
        ):
            yield GaugeMetricFamily(f"bestiary_drift_{name}", text, value)

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
