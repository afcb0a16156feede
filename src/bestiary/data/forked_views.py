"""Make the views of batches in forked processes, ahead of the consumer, in shared memory.

Python launches a GPU's kernels one by one, under a lock that threads which make views take several
times a view. Processes have locks of their own. On an H200 with 16 cores, a ResNeXt-101 trained
from JPEG at .48 of the speed of its arithmetic beside threads, and at .74 beside processes
(benchmarks/gpu). Knows nothing of networks.
"""

import math
import mmap
import pickle
import struct
from collections.abc import Callable, Generator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from bestiary.data.decode import Pixels
from bestiary.data.forked_team import ForkedTeam

MAX_JOB_IMAGES = 8
JOBS_AHEAD = 4  # a process, waiting or under way
MIN_BATCHES_AHEAD = 2


class Notes(Protocol):
    """What is noted while views are made, which is to be known where they are used."""

    def take(self) -> Any:
        """Return what was noted since the last call, to be pickled; None if nothing was."""

    def add(self, noted: Any) -> None:
        """Add what `take` has returned in another process."""


_JOB = struct.Struct("=4q")  # number of the batch, its place in memory, its views from, to
_ANSWER = struct.Struct("=q")  # number of the batch


def job_images(batch_images: int, workers: int) -> int:
    """Choose the images of a job that is made ahead, so that all workers share a batch.

    Args:
        batch_images: images of the batch.
        workers: number of threads or processes.
    """
    return max(1, min(MAX_JOB_IMAGES, batch_images // workers))


def forked_views(
    batches: Sequence[NDArray[np.int64]],
    view_of: Callable[[int], Pixels],
    view_shape: tuple[int, ...],
    processes: int,
    notes: Notes | None = None,
) -> Generator[NDArray[np.uint8]]:
    """Make the views of batches in processes.

    Args:
        batches: rows of each batch; at least one batch.
        view_of: row -> view, uint8 of `view_shape`; called in the processes.
        view_shape: height, width and channels.
        processes: how many, at most.
        notes: of `view_of`; what is noted in the processes is added to them here.

    Yields:
        Views of each batch, uint8 (n, *view_shape), in order. They are overwritten once the next
        ones are asked for.

    Raises:
        NoAnswerError: the processes have not begun to work, and no batch was made.
        DataError: a process has died, or a batch takes too long.
    """
    n_jobs = math.ceil(sum(len(rows) for rows in batches) / MAX_JOB_IMAGES)
    processes = min(processes, n_jobs)
    largest = max(len(rows) for rows in batches)
    job_size = job_images(largest, processes)
    jobs_a_batch = math.ceil(largest / job_size)
    batches_ahead = max(MIN_BATCHES_AHEAD, math.ceil(JOBS_AHEAD * processes / jobs_a_batch))
    shape = (min(len(batches), batches_ahead + 1), largest, *view_shape)
    # Anonymous, since containers keep /dev/shm small.
    memory = np.frombuffer(mmap.mmap(-1, math.prod(shape)), np.uint8).reshape(shape)

    def fill(job: bytes) -> bytes:
        number, place, start, stop = _JOB.unpack(job)
        for index in range(start, stop):
            memory[place, index] = view_of(int(batches[number][index]))
        noted = notes.take() if notes else None
        return _ANSWER.pack(number) + (b"" if noted is None else pickle.dumps(noted))

    with ForkedTeam(processes, fill) as team:
        orders = _Orders(team, [len(rows) for rows in batches], job_size, len(memory), notes)
        for number in range(len(memory)):
            orders.submit(number)
        for number, rows in enumerate(batches):
            orders.wait_for(number)
            yield memory[number % len(memory), : len(rows)]
            orders.submit(number + len(memory))


class _Orders:
    """The jobs of all batches, and how many of each batch have no answer yet."""

    def __init__(
        self,
        team: ForkedTeam,
        sizes: list[int],
        job_size: int,
        places: int,
        notes: Notes | None,
    ) -> None:
        self._team = team
        self._sizes = sizes
        self._job_size = job_size
        self._places = places
        self._notes = notes
        self._unanswered = [math.ceil(size / job_size) for size in sizes]

    def submit(self, number: int) -> None:
        """Submit the jobs of a batch, if there is one of that number."""
        if number >= len(self._sizes):
            return
        size = self._sizes[number]
        for start in range(0, size, self._job_size):
            while self._team.is_full:
                self._receive()
            stop = min(start + self._job_size, size)
            self._team.submit(_JOB.pack(number, number % self._places, start, stop))

    def wait_for(self, number: int) -> None:
        """Wait until all views of a batch are made."""
        while self._unanswered[number]:
            self._receive()

    def _receive(self) -> None:
        answer = self._team.receive()
        (number,) = _ANSWER.unpack_from(answer)
        self._unanswered[number] -= 1
        if self._notes and len(answer) > _ANSWER.size:
            self._notes.add(pickle.loads(answer[_ANSWER.size :]))
