"""Launchers: the variables that Slurm or MPI set -> those that torchrun would set.

PyTorch and Accelerate read torchrun's. Without them, processes on GPUs would not find each other.
Does not know what the ranks do together.
"""

import subprocess
from collections.abc import Mapping
from typing import NamedTuple

from bestiary.errors import ArgumentError

MPI_PORT = "29500"  # PyTorch's own, where the user names none


class MpiVariables(NamedTuple):
    """Names of the variables of one MPI implementation."""

    rank: str
    size: str
    local_rank: str
    local_size: str


MPI = (
    # Open MPI: its manual, "Environment variables set by mpirun".
    MpiVariables(
        "OMPI_COMM_WORLD_RANK",
        "OMPI_COMM_WORLD_SIZE",
        "OMPI_COMM_WORLD_LOCAL_RANK",
        "OMPI_COMM_WORLD_LOCAL_SIZE",
    ),
    # MVAPICH2: its user guide, "Run-time parameters".
    MpiVariables(
        "MV2_COMM_WORLD_RANK",
        "MV2_COMM_WORLD_SIZE",
        "MV2_COMM_WORLD_LOCAL_RANK",
        "MV2_COMM_WORLD_LOCAL_SIZE",
    ),
    # MPICH's Hydra and Intel MPI.
    MpiVariables("PMI_RANK", "PMI_SIZE", "MPI_LOCALRANKID", "MPI_LOCALNRANKS"),
)


def torchrun_variables(environment: Mapping[str, str]) -> dict[str, str]:
    """Translate the variables of `srun` or `mpirun` to those that torchrun would set.

    Args:
        environment: variables set by the launcher.

    Returns:
        The variables to add; empty without such a launcher, or where torchrun's are set already.

    Raises:
        ArgumentError: MPI started processes on several machines, and no variable names the first.

    Example:
        >>> torchrun_variables({"SHELL": "/bin/sh"})
        {}
    """
    if "RANK" in environment:
        return {}
    return _from_slurm(environment) or _from_mpi(environment)


def _from_mpi(environment: Mapping[str, str]) -> dict[str, str]:
    """Translate the variables of MPI's `mpirun`, which does not say where the first rank is."""
    for names in MPI:
        size = environment.get(names.size, "1")
        is_complete = all(name in environment for name in names)
        if int(size) == 1 or not is_complete:
            continue
        is_one_machine = environment[names.local_size] == size
        address = environment.get("MASTER_ADDR") or ("127.0.0.1" if is_one_machine else "")
        if not address:
            raise ArgumentError(
                f"MASTER_ADDR: is not set, and {size} processes of MPI run on several machines; "
                "export it with the name of the machine of the first process"
            )
        return {
            "RANK": environment[names.rank],
            "WORLD_SIZE": size,
            "LOCAL_RANK": environment[names.local_rank],
            "LOCAL_WORLD_SIZE": environment[names.local_size],
            "MASTER_ADDR": address,
            "MASTER_PORT": environment.get("MASTER_PORT") or MPI_PORT,
        }
    return {}


def _from_slurm(environment: Mapping[str, str]) -> dict[str, str]:
    """Translate the variables of Slurm's `srun` to those that torchrun would set.

    Source: Slurm's manual, srun(1), OUTPUT ENVIRONMENT VARIABLES. Only a step of several tasks is a
    world: in a batch script itself the variables of the step are not set.
    """
    n_tasks = environment.get("SLURM_STEP_NUM_TASKS", "1")
    if int(n_tasks) == 1:
        return {}
    hosts = subprocess.run(
        ["scontrol", "show", "hostnames", environment["SLURM_STEP_NODELIST"]],
        capture_output=True,
        text=True,
        check=True,
    )
    node = int(environment.get("SLURM_NODEID", 0))
    tasks_per_node = _parse_tasks_per_node(environment["SLURM_STEP_TASKS_PER_NODE"])
    first_host = hosts.stdout.split()[0]
    port = 20_000 + int(environment["SLURM_JOB_ID"]) % 20_000
    return {
        "RANK": environment["SLURM_PROCID"],
        "WORLD_SIZE": n_tasks,
        "LOCAL_RANK": environment["SLURM_LOCALID"],
        "LOCAL_WORLD_SIZE": str(tasks_per_node[node]),
        "MASTER_ADDR": environment.get("MASTER_ADDR") or first_host,
        "MASTER_PORT": environment.get("MASTER_PORT") or str(port),
    }


def _parse_tasks_per_node(text: str) -> list[int]:
    """Parse Slurm's ``2(x3),1``: three nodes with two tasks each, then one node with one task."""
    counts: list[int] = []
    for group in text.split(","):
        count, _, repeats = group.rstrip(")").partition("(x")
        n_nodes = int(repeats or 1)
        counts += [int(count)] * n_nodes
    return counts
