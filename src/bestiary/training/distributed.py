"""Distributed training: the ranks that train one fold together, and their collectives.

The environment says which ranks there are, as torchrun, Accelerate, MPI and Slurm set it. One
process alone is a world of size 1, in which every function below returns what it was given. Rank 0
is the main process and writes every file. A failure, a signal or a file that is due is known to all
ranks before any acts on it, so none waits forever for another. Does not know networks or images.

The collectives are PyTorch's, set up by Accelerate. Objects travel over the CPU backend (Gloo), so
no training step waits for a GPU because of them.
"""

import atexit
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.errors import ArgumentError, BestiaryError, Interrupted, LocalRankError
from bestiary.model.device import best_device
from bestiary.training.launchers import torchrun_variables

# Rank 0 alone may read a million images while the other ranks wait in a collective.
COLLECTIVE_TIMEOUT = timedelta(days=7)
# Variables that hold the number of ranks: torchrun's, then those of MPI implementations.
SIZE_VARIABLES = (
    "WORLD_SIZE",
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_SIZE",
)

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """One rank's view of the processes that train together.

    Attributes:
        rank: index of this process among all; rank 0 is the main process.
        size: number of processes.
        local_rank: index of this process among those of its machine.
        local_size: number of processes on this machine.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this rank writes the files."""
        return self.rank == 0

    def all_reduce_max(self, number: int) -> int:
        """Reduce a number over all ranks to the largest."""
        if self.size == 1:
            return number
        value = torch.tensor(number)
        torch.distributed.all_reduce(value, torch.distributed.ReduceOp.MAX)
        return int(value)

    def broadcast_object(self, value: T) -> T:
        """Broadcast an object from rank 0; what the other ranks give is ignored."""
        if self.size == 1:
            return value
        box = [value]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def all_gather(self, value: T) -> list[T]:
        """Gather an object from every rank, ordered by rank."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(values, value)
        return values

    def all_reduce_mean(self, value: torch.Tensor) -> torch.Tensor:
        """Average a tensor, on the ranks' devices, over all ranks."""
        if self.size == 1:
            return value
        torch.distributed.all_reduce(value)
        return value / self.size

    def shard(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """Select this rank's share of `rows`: consecutive rows, ordered by rank."""
        shards = np.array_split(rows, self.size)
        return shards[self.rank]

    def gather_rows(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """Gather the arrays of all ranks and concatenate them along the first axis."""
        if self.size == 1:
            return values
        shards = self.all_gather(values)
        return np.concatenate(shards)

    def broadcast_buffers(self, network: torch.nn.Module) -> None:
        """Broadcast the buffers of rank 0; norms that learn keep running averages per rank."""
        if self.size == 1:
            return
        for value in network.buffers():
            torch.distributed.broadcast(value, src=0)

    @contextmanager
    def synchronized(self) -> Iterator[bool]:
        """Synchronize a block: no rank leaves it before all have finished it.

        A failure in one rank ends all of them. Rank 0 raises it, whichever rank met it, so that it
        is reported once; the others exit with status 2. The block must not call a collective.

        Yields:
            Whether this is the main process.

        Raises:
            BestiaryError: one rank raised it inside the block.
        """
        failure = None
        try:
            yield self.is_main
        except BestiaryError as error:
            if self.size == 1:
                raise
            failure = error
        if self.size > 1 and self.all_reduce_max(failure is not None):
            failures = self.all_gather(failure)
            first = next(error for error in failures if error is not None)
            if not self.is_main:
                raise SystemExit(2)
            raise first

    def on_main(self, action: Callable[[], T]) -> T | None:
        """Run `action` on rank 0 only, inside a synchronized block.

        Args:
            action: what to run; it must not call a collective.

        Returns:
            The result of `action` on rank 0, None on the others.

        Raises:
            BestiaryError: `action` raised it.
        """
        with self.synchronized() as main:
            return action() if main else None

    @contextmanager
    def process_group(self) -> Iterator[None]:
        """Keep the ranks together until rank 0 has written its files.

        A defect, or memory that runs out, is met by one rank alone. That rank ends at once, and the
        launcher ends the others.
        """
        atexit.unregister(_destroy_process_group)
        try:
            yield
        except (BestiaryError, SystemExit, Interrupted) as error:
            is_shared = getattr(error, "agreed", True)
            if is_shared and not isinstance(error, LocalRankError):
                self._end_together()
            raise
        self._end_together()

    def _end_together(self) -> None:
        """Wait for all ranks, then let the process group be destroyed when this process exits.

        It is not destroyed here: another run of this process uses it again, since a launcher's
        store has the addresses of one group only. If one rank has failed, it is never destroyed:
        that could wait for the others.
        """
        self.all_reduce_max(0)
        if self.size > 1:
            atexit.register(_destroy_process_group)


SINGLE_PROCESS = World()


def init_world(environment: Mapping[str, str] = os.environ) -> World:
    """Join the process group that this process was started for; wait until all ranks have joined.

    Args:
        environment: variables set by the launcher.

    Returns:
        This rank's world; `SINGLE_PROCESS` without a launcher.

    Raises:
        ArgumentError: MPI started processes on several machines, and no variable names the first.
    """
    os.environ.update(torchrun_variables(environment))
    sizes = [int(environment.get(name, 1)) for name in SIZE_VARIABLES]
    if max(sizes) == 1:
        return SINGLE_PROCESS
    from accelerate import PartialState

    device = best_device()
    # A number of threads silences a warning; autotuning sets the right one later.
    local_size = int(environment.get("LOCAL_WORLD_SIZE", 1))
    os.environ.setdefault("OMP_NUM_THREADS", str(cores(local_size)))
    backend = {"backend": "cpu:gloo,cuda:nccl"} if device.type == "cuda" else {}
    state = PartialState(
        cpu=device.type == "cpu",
        timeout=COLLECTIVE_TIMEOUT,
        **backend,
    )
    return World(
        rank=state.process_index,
        size=state.num_processes,
        local_rank=state.local_process_index,
        local_size=int(os.environ.get("LOCAL_WORLD_SIZE", 1)),
    )


def _destroy_process_group() -> None:
    """Join the threads of the process group before the interpreter ends.

    A thread that still runs then can abort the process ("terminate called without an active
    exception").
    """
    if torch.distributed.is_initialized():
        torch.distributed.destroy_process_group()


def check_processes(processes: int) -> None:
    """Check that this machine can run a number of training processes.

    Args:
        processes: as asked for on the command line.

    Raises:
        ArgumentError: it is less than 1, or more than there are GPUs.
    """
    if processes < 1:
        raise ArgumentError(f"--processes {processes}: give 1 or more")
    gpus = 0
    if torch.accelerator.is_available():
        gpus = torch.accelerator.device_count()
    if 0 < gpus < processes:
        raise ArgumentError(
            f"--processes {processes}: this machine has {gpus} GPUs, and each process needs its own"
        )
