"""Images of many requests -> batches for the engine -> each request's answers.

No image waits for others to arrive: what is in the queue when the engine becomes free is the next
batch. So batches grow with the load, and a single request is answered at once. Under a load that a
slow engine cannot bear, a batch is as small as its first image has time. An image whose time would
be up before its answer is told so at once. Else every answer would be ready just after its client
has left. One thread runs the ensemble; the ensemble's own workers decode.
"""

import asyncio
import gc
import logging
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bestiary.cores import cores
from bestiary.data.decode import claimed_size
from bestiary.ensemble.answers import Answer, PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import Ensemble
from bestiary.errors import ImageError
from bestiary.evaluation.drifting import DriftMonitor
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import busy

MAX_BATCH_PIXELS = 256_000_000  # of the files
# As many pixels as one large image has take a core up to 12 s (PNG of 16 bits). Four of them in a
# batch on one core kept all clients waiting until their time was up, so that none was answered.
MAX_CORE_PIXELS = 64_000_000
MAX_WAITING_JOBS = 4  # jobs other than batches (explanations) that wait for the engine
Outcome = Answer | ImageError
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _QueuedImage:
    content: bytes
    options: PredictionOptions
    outcome: "asyncio.Future[Outcome]"
    arrived: float  # by the clock of the event loop


class Batches:
    """The queue of images in front of an ensemble.

    Args:
        ensemble: the ensemble.
        max_waiting: largest number of images in the queue.
        metrics: metrics of queue and batches.
        patience: seconds after which a client is told to come again.
        monitor: is given the logits of all images; None: nothing is.

    Attributes:
        ready: whether the engine is warm and takes work.
    """

    def __init__(
        self,
        ensemble: Ensemble,
        max_waiting: int,
        metrics: Metrics,
        patience: float,
        monitor: DriftMonitor | None = None,
    ) -> None:
        self.ensemble = ensemble
        self._monitor = monitor
        self.ready = False
        self._max_waiting = max_waiting
        self._patience = patience
        self._seconds = 0.0  # of an image, lately
        self._max_pixels = min(MAX_BATCH_PIXELS, cores() * MAX_CORE_PIXELS)
        self._metrics = metrics
        self._queue: deque[_QueuedImage] = deque()
        self._waiting_jobs = 0
        metrics.waiting.set_function(lambda: len(self._queue))

    async def start(self) -> None:
        """Warm up the engine with a batch and a single image, then take work."""
        loop = asyncio.get_running_loop()
        self._arrived = asyncio.Event()
        self._engine = ThreadPoolExecutor(1, "bestiary-engine")
        for count in (self.ensemble.batch_size, 1):
            started = time.perf_counter()
            await loop.run_in_executor(self._engine, self._warm_up, count)
        self._seconds = time.perf_counter() - started
        # What is there now stays. With PyTorch's million objects among those that are searched for
        # garbage, the search took a tenth of the service's time (benchmarks/speed/serve.py).
        gc.freeze()
        self._loop = asyncio.create_task(self._run())
        self.ready = True

    async def stop(self) -> None:
        """Finish the current batch and cancel what still waits."""
        self.ready = False
        self._loop.cancel()
        with suppress(asyncio.CancelledError):
            await self._loop
        for image in self._queue:
            image.outcome.cancel()
        self._queue.clear()
        self._engine.shutdown()

    async def answer(self, contents: Sequence[bytes], options: PredictionOptions) -> list[Outcome]:
        """Answer images.

        Args:
            contents: bytes of each file.
            options: coverage and risk.

        Returns:
            For each image its answer, or why it cannot be read.

        Raises:
            Problem: too many images wait already, those before take all of the time, or the engine
                does not run.
        """
        if not self.ready:
            raise busy("The engine is not ready.")
        if len(self._queue) + len(contents) > self._max_waiting:
            self._drop_left()
        if len(self._queue) + len(contents) > self._max_waiting:
            raise busy(
                f"{len(self._queue)} images wait for the engine already; try again in a moment."
            )
        loop = asyncio.get_running_loop()
        now = loop.time()
        images = [_QueuedImage(content, options, loop.create_future(), now) for content in contents]
        self._queue.extend(images)
        self._arrived.set()
        try:
            return await asyncio.gather(*(image.outcome for image in images))
        finally:
            for image in images:  # where one is late, nobody waits for the others
                image.outcome.cancel()

    async def run_job(self, job: Callable[[], T]) -> T:
        """Run another job in the engine's thread, between two batches.

        Args:
            job: a function without arguments.

        Returns:
            What the job returns.

        Raises:
            Problem: too many jobs wait already, or the engine does not run.
        """
        if not self.ready:
            raise busy("The engine is not ready.")
        if self._waiting_jobs >= MAX_WAITING_JOBS:
            raise busy("Other explanations are under way; try again in a moment.")
        self._waiting_jobs += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._engine, job)
        finally:
            self._waiting_jobs -= 1

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next_batch()
            if not batch:
                continue
            try:
                outcomes = await loop.run_in_executor(self._engine, self._predict, batch)
            except Exception as error:
                log.exception("a batch of %d images failed", len(batch))
                for image in batch:
                    if not image.outcome.done():
                        image.outcome.set_exception(error)
                continue
            self._settle(batch, outcomes)

    def _settle(self, batch: list[_QueuedImage], outcomes: list[Outcome]) -> None:
        """Hand out the outcomes of the first images; put the others back in front of the queue."""
        n_done = len(outcomes)
        for image, outcome in zip(batch[:n_done], outcomes, strict=True):
            if not image.outcome.done():  # otherwise its client has left
                image.outcome.set_result(outcome)
        if n_done < len(batch):
            self._queue.extendleft(reversed(batch[n_done:]))
            self._arrived.set()

    def _drop_left(self) -> None:
        """Take the images out of the queue whose client has left."""
        self._queue = deque(image for image in self._queue if not image.outcome.done())

    def _next_batch(self) -> list[_QueuedImage]:
        """Take a batch from the queue, without images whose client has left or which are late."""
        batch: list[_QueuedImage] = []
        most = 0
        while self._queue and (not batch or len(batch) < most):
            image = self._queue.popleft()
            if image.outcome.done():
                continue
            if not batch:
                most = self._count_in_time(image)
            if most == 0:
                late = busy("The images before this one took its time; try again in a moment.")
                image.outcome.set_exception(late)
                continue
            batch.append(image)
        if not self._queue:
            self._arrived.clear()
        return batch

    def _count_in_time(self, first: _QueuedImage) -> int:
        """Count the images that fit into half of the time that the first one has; 0: it is late."""
        left = first.arrived + self._patience - asyncio.get_running_loop().time()
        # Half of its time is enough for any: else an image that takes longer would never come.
        if left < min(self._seconds, self._patience / 2):
            return 0
        largest = self.ensemble.batch_size
        return max(1, min(largest, int(left / 2 / self._seconds))) if self._seconds else largest

    def _predict(self, batch: Sequence[_QueuedImage]) -> list[Outcome]:
        """Answer a batch in the engine's thread: its first images, as far as pixels allow."""
        started = time.perf_counter()
        batch = batch[: _count_within_pixels(batch, self._max_pixels)]
        with self._metrics.batch(len(batch)):
            (logits,) = self.ensemble.iter_logits([image.content for image in batch])
            rule = self.ensemble.average
            answers_by_options = {
                options: answer_batch(self.ensemble, logits, rule, options)
                for options in {image.options for image in batch}
            }
        if self._monitor is not None:
            self._monitor.add(logits.readable)
        outcomes: list[Outcome] = []
        for index, image in enumerate(batch):
            reason = logits.reasons.get(index)
            if reason is None:
                outcomes.append(answers_by_options[image.options][index])
            else:
                outcomes.append(ImageError(reason))
        self._seconds = (self._seconds + (time.perf_counter() - started) / len(batch)) / 2
        return outcomes

    def _warm_up(self, count: int) -> None:
        size = self.ensemble.view.size
        list(self.ensemble.iter_logits([np.zeros((size, size, 3), np.uint8)] * count))


def _count_within_pixels(batch: Sequence[_QueuedImage], most: int) -> int:
    """Count the first images that have up to `most` pixels together; 1 at least."""
    n_pixels = 0
    for index, image in enumerate(batch):
        with suppress(ImageError):  # such an image is answered with its error
            height, width = claimed_size(image.content)
            n_pixels += height * width
        if index and n_pixels > most:
            return index
    return len(batch)
