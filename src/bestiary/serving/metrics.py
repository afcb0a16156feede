"""What happens in a service -> numbers for Prometheus. Nothing of what is in a request goes into
them.
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

SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class Metrics:
    """The numbers of one application.

    Attributes:
        requests: by method, route and status.
        seconds: that requests took, by route.
        images: by outcome: answered, or the problem's code.
        waiting: images before the engine.
        held: bytes of uploads in memory.
    """

    def __init__(self) -> None:
        self._registry = registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        self.requests = Counter(
            "bestiary_requests_total", "Requests", ["method", "route", "status"], registry=registry
        )
        self.seconds = Histogram(
            "bestiary_request_seconds", "Time from a request to its answer", ["route"], buckets=SECONDS,
            registry=registry,
        )  # fmt: skip
        self.images = Counter(
            "bestiary_images_total",
            "Images by what came of them",
            ["outcome"],
            registry=registry,
        )
        self.waiting = Gauge(
            "bestiary_waiting_images", "Images that wait for the engine", registry=registry
        )
        self.held = Gauge("bestiary_held_bytes", "Bytes of uploads in memory", registry=registry)
        self._sizes = Histogram(
            "bestiary_batch_images",
            "Images in a batch",
            buckets=(1, 2, 4, 8, 16, 32),
            registry=registry,
        )
        self._batch_seconds = Histogram(
            "bestiary_batch_seconds",
            "Time of the engine for a batch",
            buckets=SECONDS,
            registry=registry,
        )

    @contextmanager
    def batch(self, images: int) -> Iterator[None]:
        """Count a batch and the time that the block takes."""
        self._sizes.observe(images)
        started = time.perf_counter()
        yield
        self._batch_seconds.observe(time.perf_counter() - started)

    def text(self) -> bytes:
        """In Prometheus' text format."""
        return generate_latest(self._registry)
