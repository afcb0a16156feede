"""Requests, images and batches -> metrics in Prometheus' text format.

Nothing from inside a request becomes a label or a value.
"""

import time
from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)

from bestiary.evaluation.drifting import DriftMonitor
from bestiary.serving.drift_gauges import DriftGauges

SECONDS_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
BATCH_BUCKETS = (1, 2, 4, 8, 16, 32)


class Metrics:
    """The metrics of one application.

    Attributes:
        requests: requests by method, route and status.
        seconds: seconds from a request to its answer, by route.
        images: images by outcome: answered, or the problem's code.
        waiting: images that wait for the engine.
        buffered_bytes: bytes of uploads in memory.
    """

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ProcessCollector(registry=self._registry)
        self.requests = Counter(
            "bestiary_requests_total",
            "Requests",
            ["method", "route", "status"],
            registry=self._registry,
        )
        self.seconds = Histogram(
            "bestiary_request_seconds",
            "Time from a request to its answer",
            ["route"],
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )
        self.images = Counter(
            "bestiary_images_total",
            "Images by what came of them",
            ["outcome"],
            registry=self._registry,
        )
        self.waiting = Gauge(
            "bestiary_waiting_images",
            "Images that wait for the engine",
            registry=self._registry,
        )
        self.buffered_bytes = Gauge(
            "bestiary_held_bytes",
            "Bytes of uploads in memory",
            registry=self._registry,
        )
        self._batch_sizes = Histogram(
            "bestiary_batch_images",
            "Images in a batch",
            buckets=BATCH_BUCKETS,
            registry=self._registry,
        )
        self._batch_seconds = Histogram(
            "bestiary_batch_seconds",
            "Time of the engine for a batch",
            buckets=SECONDS_BUCKETS,
            registry=self._registry,
        )

    def watch_drift(self, monitor: DriftMonitor) -> None:
        """Add gauges of whether the served images are of the run's world.

        Args:
            monitor: is given their logits.
        """
        DriftGauges(monitor, self._registry)

    @contextmanager
    def batch(self, n_images: int) -> Iterator[None]:
        """Record a batch and the time that the block takes.

        Args:
            n_images: images in the batch.
        """
        self._batch_sizes.observe(n_images)
        started = time.perf_counter()
        yield
        self._batch_seconds.observe(time.perf_counter() - started)

    def text(self) -> bytes:
        """Give all metrics in Prometheus' text format."""
        return generate_latest(self._registry)
