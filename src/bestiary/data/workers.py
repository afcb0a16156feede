"""Run jobs in worker threads, so that a disk that hangs cannot keep the process alive.

`ThreadPoolExecutor` waits for its threads when the program ends. These threads are abandoned once
a job is known to hang. A job computes in its own thread alone. With an OpenMP team for each of
them, there are more threads than cores, and OpenMP then sends its threads to sleep between any two
operations: a training step of EfficientNet-Lite0 took 1.06 times as long. Knows nothing of images.
"""

from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Barrier, Lock, Thread
from typing import Any, Self, TypeVar

import torch

from bestiary.errors import DataError

STALL_SECONDS = 300.0  # a batch takes seconds; a disk that has failed may block forever

T = TypeVar("T")

# Until threads have set their own number of OpenMP threads, other new threads would take it over.
_STARTING = Lock()


class Workers:
    """Worker threads that live as long as a ``with`` block.

    Args:
        threads: number of threads.
    """

    def __init__(self, threads: int) -> None:
        # None ends one thread.
        self._jobs: SimpleQueue[tuple[Future[Any], Callable[[], Any]] | None] = SimpleQueue()
        self._threads = [
            Thread(
                target=self._work,
                name=f"bestiary-loader-{index}",
                daemon=True,
            )
            for index in range(threads)
        ]
        self._are_ready = Barrier(threads + 1)
        self._is_hanging = False

    def __enter__(self) -> Self:
        with _STARTING:
            openmp_threads = torch.get_num_threads()
            try:
                for thread in self._threads:
                    thread.start()
                self._are_ready.wait()
            finally:
                _set_openmp_threads(openmp_threads)
        return self

    def __exit__(self, *_error: object) -> None:
        # The consumer may stop early or raise, so drop the jobs that nobody waits for.
        with suppress(Empty):
            while True:
                self._jobs.get_nowait()
        for _ in self._threads:
            self._jobs.put(None)
        for thread in self._threads:
            thread.join(0 if self._is_hanging else STALL_SECONDS)

    def submit(self, job: Callable[[], T]) -> Future[T]:
        """Queue a job.

        Args:
            job: called without arguments in a worker thread.

        Returns:
            The future of its result.
        """
        future: Future[T] = Future()
        self._jobs.put((future, job))
        return future

    def wait_for(self, future: Future[T]) -> T:
        """Wait for a job.

        Args:
            future: of the job.

        Returns:
            The result of the job; an exception of the job is raised here.

        Raises:
            DataError: the job takes longer than `STALL_SECONDS`.
        """
        try:
            return future.result(STALL_SECONDS)
        except TimeoutError:
            if future.done():  # the job's own error
                raise
            self._is_hanging = True
            raise stalled_error() from None

    def _work(self) -> None:
        limit_openmp()
        self._are_ready.wait()
        while (submitted := self._jobs.get()) is not None:
            future, job = submitted
            try:
                result = job()
                future.set_result(result)
            except BaseException as error:  # raised again in wait_for
                future.set_exception(error)


def stalled_error() -> DataError:
    """Build the error for images that do not come."""
    return DataError(
        f"no batch of images was ready within {STALL_SECONDS:.0f} s: a disk that holds them may be "
        "gone; check the disk, then continue with --resume"
    )


def limit_openmp() -> None:
    """Let what this thread computes stay in this thread."""
    torch.get_num_threads()  # PyTorch sets its default now, and not in the first operation
    _set_openmp_threads(1)


def _set_openmp_threads(threads: int) -> None:
    """Set the threads that this one computes with, and the default of those that are new."""
    # PyTorch's own pool has one number for all threads.
    if torch.backends.openmp.is_available():  # type: ignore[no-untyped-call]
        torch.set_num_threads(threads)
