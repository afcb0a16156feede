"""The processes that train one fold together -> what they agree on, share out and gather.

Which they are is said by the environment, as torchrun, Accelerate, MPI and Slurm set it; one
process alone is a world of one, in which every function below gives back what it was given. The
main process writes every file; what one of them meets (a failure, a signal, a file that is due) is
known to all before any acts on it, so that none waits for ever for another. Knows nothing of
networks and images.

Collectives are PyTorch's, set up by Accelerate; what is agreed on travels through the CPU's (Gloo),
and no step waits for a GPU because of it.
"""

import os
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from numpy.typing import NDArray

from bestiary.cores import cores
from bestiary.errors import ArgumentError, BestiaryError, Interrupted
from bestiary.model.compute import best_device

PATIENCE = timedelta(
    days=7
)  # what the main process does alone, such as reading a million images, takes its time
SIZES = (
    "WORLD_SIZE",
    "PMI_SIZE",
    "OMPI_COMM_WORLD_SIZE",
    "MV2_COMM_WORLD_SIZE",
)  # torchrun's name, then MPI's

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """One of the processes that work together.

    Attributes:
        rank: its number among all, from 0; number 0 is the main process.
        size: their number.
        local_rank: its number among those of its machine.
        local_size: their number.
    """

    rank: int = 0
    size: int = 1
    local_rank: int = 0
    local_size: int = 1

    @property
    def is_main(self) -> bool:
        """Whether this process writes the files."""
        return self.rank == 0

    def all_reduce_max(self, number: int) -> int:
        """The largest `number` that any process says."""
        if self.size == 1:
            return number
        said = torch.tensor(number)
        torch.distributed.all_reduce(said, torch.distributed.ReduceOp.MAX)
        return int(said)

    def broadcast_object(self, said: T) -> T:
        """What the main process says."""
        if self.size == 1:
            return said
        box = [said]
        torch.distributed.broadcast_object_list(box, src=0)
        return box[0]

    def all_gather(self, said: T) -> list[T]:
        """What each process says, by rank."""
        if self.size == 1:
            return [said]
        heard: list[Any] = [None] * self.size
        torch.distributed.all_gather_object(heard, said)
        return heard

    def all_reduce_mean(self, value: torch.Tensor) -> torch.Tensor:
        """The mean over the processes of a tensor on their devices."""
        if self.size == 1:
            return value
        torch.distributed.all_reduce(value)
        return value / self.size

    def shard(self, rows: NDArray[np.int64]) -> NDArray[np.int64]:
        """The rows that are this process's to do: consecutive, by rank, each of `rows` once."""
        return np.array_split(rows, self.size)[self.rank]

    def gather_rows(self, values: NDArray[np.float32]) -> NDArray[np.float32]:
        """The arrays of all processes, one after the other along the first axis."""
        return values if self.size == 1 else np.concatenate(self.all_gather(values))

    def broadcast_buffers(self, network: torch.nn.Module) -> None:
        """Give the main process's running averages to all; those of norms that learn are each
        process's own.
        """
        for value in network.buffers() if self.size > 1 else ():
            torch.distributed.broadcast(value, src=0)

    @contextmanager
    def synchronized(self) -> Iterator[bool]:
        """A block that no process leaves unless all have done it; gives whether this is the main
        process.

        What is raised in one ends all: the main process raises it, whoever met it, so that it is
        told once; the others leave with exit status 2. No collective may stand in the block.
        """
        failure = None
        try:
            yield self.is_main
        except BestiaryError as error:
            if self.size == 1:
                raise
            failure = error
        if self.size > 1 and self.all_reduce_max(failure is not None):
            met = next(error for error in self.all_gather(failure) if error is not None)
            if not self.is_main:
                raise SystemExit(2)
            raise met

    @contextmanager
    def process_group(self) -> Iterator[None]:
        """The block in which the processes work together: none ends before the main process has
        written its files.

        A defect, or memory that runs out, is met by one of them alone: it ends, and whoever has
        started them ends the others.
        """
        try:
            yield
        except (BestiaryError, SystemExit, Interrupted) as error:
            if not isinstance(error, LocalRankError) and getattr(error, "agreed", True):
                self.all_reduce_max(0)
            raise
        self.all_reduce_max(0)


class LocalRankError(BestiaryError):
    """A failure that one of several processes has met where the others cannot be told."""


SINGLE_PROCESS = World()


def init_world(environment: Mapping[str, str] = os.environ) -> World:
    """The world that this process was started for; waits until all its processes have come."""
    found = _from_slurm(environment)
    if found:
        os.environ.update(found)
    if max(int(environment.get(name, 1)) for name in SIZES) == 1:
        return SINGLE_PROCESS
    from accelerate import PartialState

    device = best_device()
    # The warning that threads were set to a guess; they are set once the arithmetic is known.
    os.environ.setdefault(
        "OMP_NUM_THREADS", str(cores(int(environment.get("LOCAL_WORLD_SIZE", 1))))
    )
    backend = {"backend": "cpu:gloo,cuda:nccl"} if device.type == "cuda" else {}
    state = PartialState(cpu=device.type == "cpu", timeout=PATIENCE, **backend)
    local_size = int(os.environ.get("LOCAL_WORLD_SIZE", 1))
    return World(state.process_index, state.num_processes, state.local_process_index, local_size)


def check_processes(processes: int) -> None:
    """Refuse a number of processes that this machine cannot have.

    Raises:
        ArgumentError: there are fewer GPUs than that.
    """
    if processes < 1:
        raise ArgumentError(f"--processes {processes}: give 1 or more")
    gpus = torch.accelerator.device_count() if torch.accelerator.is_available() else 0
    if 0 < gpus < processes:
        raise ArgumentError(
            f"--processes {processes}: this machine has {gpus} GPUs, and each process needs its own"
        )


def _from_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """What torchrun would set, for the tasks of one `srun`; nothing where something else has
    started this process.

    Slurm's manual, srun(1), OUTPUT ENVIRONMENT VARIABLES. Only a step of several tasks is a world:
    in a batch script itself the variables of the step are not set.
    """
    if "RANK" in environment or int(environment.get("SLURM_STEP_NUM_TASKS", 1)) == 1:
        return {}
    step = environment["SLURM_STEP_NODELIST"]
    nodes = subprocess.run(
        ["scontrol", "show", "hostnames", step], capture_output=True, text=True, check=True
    )
    here = int(environment.get("SLURM_NODEID", 0))
    counts: list[int] = []  # "2(x3),1": three nodes with two tasks each, one with one
    for part in environment["SLURM_STEP_TASKS_PER_NODE"].split(","):
        count, _, times = part.rstrip(")").partition("(x")
        counts += [int(count)] * int(times or 1)
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": environment["SLURM_STEP_NUM_TASKS"],
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(counts[here]),
        "MASTER_ADDR": environment.get("MASTER_ADDR") or nodes.stdout.split()[0],
        "MASTER_PORT": environment.get("MASTER_PORT")
        or str(20_000 + int(environment["SLURM_JOB_ID"]) % 20_000),
    }
