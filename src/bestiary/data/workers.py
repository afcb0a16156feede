"""Jobs -> their results, by threads that a disk which answers no more cannot keep the program alive
by.

`ThreadPoolExecutor` waits for its threads when the program ends; these are left behind once they
are known to hang. Knows nothing of images.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread
from typing import Any, Self, TypeVar

from bestiary.errors import DataError

STALL_SECONDS = 300.0  # a batch takes seconds; a disk that answers no more takes for ever

T = TypeVar("T")


class Workers:
    """A number of threads that live as long as a ``with`` block.

    Args:
        threads: their number.
    """

    def __init__(self, threads: int) -> None:
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            Thread(target=self._work, name=f"bestiary-loader-{number}", daemon=True)
            for number in range(threads)
        ]
        self._hang = False

    def __enter__(self) -> Self:
        for worker in self._threads:
            worker.start()
        return self

    def __exit__(
        self, *_error: object
    ) -> None:  # also when the consumer stops early or an exception passes
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        for worker in self._threads:
            worker.join(0 if self._hang else STALL_SECONDS)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Do `job` when its turn comes."""
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return future

    def wait_for(self, future: Future[T]) -> T:
        """The result of a job, or what was raised in it.

        Raises:
            DataError: it takes longer than `STALL_SECONDS`.
        """
        try:
            return future.result(STALL_SECONDS)
        except TimeoutError:
            if future.done():  # the job's own error
                raise
            self._hang = True
            raise DataError(
                f"no batch of images was ready within {STALL_SECONDS:.0f} s: a disk that holds "
                f"them may be gone; "
                "look after it, then go on with --resume"
            ) from None

    def _work(self) -> None:
        while (submitted := self._jobs.get()) is not None:
            future, job = submitted
            try:
                future.set_result(job())
            except BaseException as error:  # the consumer's to handle
                future.set_exception(error)
