"""Images of many requests -> batches for the engine -> each request's answers.

No image waits for others to come: whatever is there when the engine becomes free is the next batch,
so that batches grow with the load and a single request is answered at once. One thread runs the
ensemble; its own workers decode.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from bestiary.ensemble.answers import Answer, PredictionOptions, answer_batch
from bestiary.ensemble.ensemble import BATCH, Ensemble
from bestiary.errors import ImageError
from bestiary.serving.metrics import Metrics
from bestiary.serving.problems import busy

ASIDE = 4  # jobs that are no batches (explanations) and may wait for the engine
Outcome = Answer | ImageError
T = TypeVar("T")
log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Waiting:
    content: bytes
    caution: PredictionOptions
    outcome: "asyncio.Future[Outcome]"


class Batches:
    """The queue before an ensemble.

    Args:
        ensemble: that answers.
        most: images that may wait.
        metrics: that are told.

    Attributes:
        ready: whether the engine is warm and takes work.
    """

    def __init__(self, ensemble: Ensemble, most: int, metrics: Metrics) -> None:
        self.ensemble = ensemble
        self.ready = False
        self._most = most
        self._metrics = metrics
        self._queue: deque[_Waiting] = deque()
        self._aside = 0
        metrics.waiting.set_function(lambda: len(self._queue))

    async def start(self) -> None:
        """Warm the engine up, with a batch and a single image, and begin."""
        loop, view = asyncio.get_running_loop(), self.ensemble.view
        self._arrived = asyncio.Event()
        self._engine = ThreadPoolExecutor(1, "bestiary-engine")
        for count in (BATCH, 1):
            await loop.run_in_executor(self._engine, self._warm, count, view.size)
        self._loop = asyncio.create_task(self._run())
        self.ready = True

    async def stop(self) -> None:
        """End, once what was begun is done; what still waits is given up."""
        self.ready = False
        self._loop.cancel()
        with suppress(asyncio.CancelledError):
            await self._loop
        for waiting in self._queue:
            waiting.outcome.cancel()
        self._queue.clear()
        self._engine.shutdown()

    async def answer(self, contents: Sequence[bytes], caution: PredictionOptions) -> list[Outcome]:
        """The answer for each image, or why it cannot be read.

        Raises:
            Problem: too many wait already, or the engine does not run.
        """
        if not self.ready:
            raise busy("The engine is not ready.")
        if len(self._queue) + len(contents) > self._most:
            raise busy(
                f"{len(self._queue)} images wait for the engine already; try again in a moment."
            )
        loop = asyncio.get_running_loop()
        mine = [_Waiting(content, caution, loop.create_future()) for content in contents]
        self._queue.extend(mine)
        self._arrived.set()
        return await asyncio.gather(*(waiting.outcome for waiting in mine))

    async def do(self, job: Callable[[], T]) -> T:
        """What `job` gives, done by the engine's thread between two batches.

        Raises:
            Problem: too many wait already, or the engine does not run.
        """
        if not self.ready:
            raise busy("The engine is not ready.")
        if self._aside >= ASIDE:
            raise busy("Other explanations are under way; try again in a moment.")
        self._aside += 1
        try:
            return await asyncio.get_running_loop().run_in_executor(self._engine, job)
        finally:
            self._aside -= 1

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await self._arrived.wait()
            batch = self._next()
            if not batch:
                continue
            contents, cautions = [w.content for w in batch], [w.caution for w in batch]
            try:
                outcomes = await loop.run_in_executor(
                    self._engine, self._answer, contents, cautions
                )
            except Exception as error:
                log.exception("a batch of %d images failed", len(batch))
                for waiting in batch:
                    if not waiting.outcome.done():
                        waiting.outcome.set_exception(error)
                continue
            for waiting, outcome in zip(batch, outcomes, strict=True):
                if not waiting.outcome.done():  # nobody waits for it any more
                    waiting.outcome.set_result(outcome)

    def _next(self) -> list[_Waiting]:
        """Up to a batch of those that are still waited for."""
        batch: list[_Waiting] = []
        while self._queue and len(batch) < BATCH:
            waiting = self._queue.popleft()
            if not waiting.outcome.done():
                batch.append(waiting)
        if not self._queue:
            self._arrived.clear()
        return batch

    def _answer(
        self, contents: Sequence[bytes], cautions: Sequence[PredictionOptions]
    ) -> list[Outcome]:
        """In the engine's thread: a batch by the ensemble's own path."""
        with self._metrics.batch(len(contents)):
            (scored,) = self.ensemble.score(contents)
            rule = self.ensemble.average
            by = {
                caution: answer_batch(self.ensemble, scored, rule, caution)
                for caution in set(cautions)
            }
        outcomes: list[Outcome] = []
        for place, caution in enumerate(cautions):
            reason = scored.reasons.get(place)
            outcomes.append(by[caution][place] if reason is None else ImageError(reason))
        return outcomes

    def _warm(self, count: int, size: int) -> None:
        list(self.ensemble.score([np.zeros((size, size, 3), np.uint8)] * count))
